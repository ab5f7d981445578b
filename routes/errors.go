package routes

import (
	"errors"
	"fmt"
	"strings"
)

// ErrVanished is a FIB's answer to a Replace or Delete that found nothing of ours.
var ErrVanished = errors.New("the route is no longer in the kernel")

// TakenError is a FIB's answer to an Add whose key some route already holds.
type TakenError struct {
	Protocol uint8  // of the route that holds the key; 0: not known
	Owner    string // who uses that protocol number, in a word; "" when nobody is known to
	Ours     bool   // the holder bears our own number: it appeared since we last looked
}

// Error implements error.
func (e *TakenError) Error() string {
	if e.Ours {
		return "an unexpected route of ours holds this prefix and metric"
	}
	return e.who() + " holds this prefix and metric"
}

// who names the holder of the key.
func (e *TakenError) who() string {
	switch {
	case e.Protocol == 0:
		return "a route that is not ours"
	case e.Owner == "":
		return fmt.Sprintf("a route that is not ours (protocol %d)", e.Protocol)
	}
	return fmt.Sprintf("a route that is not ours (protocol %d/%s)", e.Protocol, e.Owner)
}

// Failure is a route that is not as it is wanted, and why.
type Failure struct {
	Route Route // as wanted; for a route that could not be deleted, as it was last seen
	Err   error // begins with the act: "adding 10.1.0.0/24 ...: ..."
}

// maxListed bounds the text of a joined error: with 100,000 routes and one dead link every
// line would say the same.
const maxListed = 10

// failures joins the errors of one pass. As with errors.Join, errors.Is and errors.As look
// through all of them; only the text is cut short.
type failures []Failure

func (f failures) Error() string {
	var b strings.Builder
	for i, failure := range f[:min(len(f), maxListed)] {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(failure.Err.Error())
	}
	if more := len(f) - maxListed; more > 0 {
		fmt.Fprintf(&b, "\nand %d more routes", more)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As every error of the pass.
func (f failures) Unwrap() []error {
	errs := make([]error, len(f))
	for i, failure := range f {
		errs[i] = failure.Err
	}
	return errs
}
