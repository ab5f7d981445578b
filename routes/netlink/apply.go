package netlink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
)

const (
	// maxBatch messages go in one write. More gains nothing (measured: 16 to 512 are alike),
	// and the answers, should all of them fail, must fit the receive buffer.
	maxBatch = 128
	// maxBatchBytes keeps a batch well under the socket's send buffer (208 KiB by default).
	maxBatchBytes = 64 << 10
	// maxHops keeps a message within maxBatchBytes and its multipath attribute within 64 KiB.
	maxHops = 1024
)

var errLost = errors.New("the kernel's answer was lost: whether it was done shows at the next comparison")

// Apply implements routes.FIB. Only the last message of a write asks to be acknowledged;
// the kernel reports errors of the others all the same, each under its own sequence number.
func (f *FIB) Apply(ctx context.Context, ops []routes.Op) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	results := make([]error, len(ops))
	for start := 0; start < len(ops); {
		if err := ctx.Err(); err != nil {
			fill(results[start:], err)
			break
		}
		n := f.pack(ops[start:])
		f.exchange(ops[start:start+n], results[start:start+n])
		start += n
	}
	f.nameHolders(ops, results)
	return results
}

func fill(results []error, err error) {
	for i := range results {
		results[i] = err
	}
}

// pack fills the out buffer with as many ops as go in one write, at least one, and returns
// their number. Sequence numbers run on from f.seq.
func (f *FIB) pack(ops []routes.Op) int {
	f.out = f.out[:0]
	n, last := 0, 0
	for n < min(len(ops), maxBatch) && len(f.out) < maxBatchBytes/2 {
		last = len(f.out)
		f.out = appendOp(f.out, f.seq+1+uint32(n), ops[n], f.protocol) // under maxBatch
		n++
	}
	flags := native.Uint16(f.out[last+6:])
	native.PutUint16(f.out[last+6:], flags|unix.NLM_F_ACK)
	return n
}

// appendOp appends the message for op; for one that cannot be written, a message that does
// nothing, so that sequence numbers and ops stay in step.
func appendOp(b []byte, seq uint32, op routes.Op, protocol uint8) []byte {
	start := len(b)
	kind, flags := uint16(unix.RTM_NEWROUTE), uint16(unix.NLM_F_REQUEST)
	switch op.Verb {
	case routes.Add:
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	case routes.Replace:
		flags |= unix.NLM_F_REPLACE // without CREATE: what vanished shall be noticed
	case routes.Delete:
		kind = unix.RTM_DELROUTE
	}
	op.Route = op.Route.Normalize()
	if unwritable(op) != nil {
		return finish(appendHeader(b, unix.NLMSG_NOOP, unix.NLM_F_REQUEST, seq), start)
	}
	b = appendHeader(b, kind, flags, seq)
	if op.Verb == routes.Delete {
		// No kind, next hops or scope: whatever became of it, what is ours at the key goes.
		return finish(appendRtMsg(b, op.Route.Key, protocol, unix.RT_SCOPE_NOWHERE, unix.RTN_UNSPEC), start)
	}
	return finish(appendRoute(b, op.Route, protocol), start)
}

// unwritable returns why there is no message for op.
func unwritable(op routes.Op) error {
	switch {
	case op.Verb == routes.Delete && op.Route.Prefix.IsValid():
		return nil
	case op.Verb != routes.Add && op.Verb != routes.Replace:
		return fmt.Errorf("unknown verb %d, or no prefix", op.Verb)
	case len(op.Route.NextHops) > maxHops:
		return fmt.Errorf("%d next hops are more than the %d that fit a message", len(op.Route.NextHops), maxHops)
	}
	return op.Route.Check()
}

// exchange sends the packed ops and reads the results.
func (f *FIB) exchange(ops []routes.Op, results []error) {
	first := f.seq + 1
	f.seq += uint32(len(ops)) // under maxBatch
	if err := f.conn.send(f.out); err != nil {
		fill(results, fmt.Errorf("sending to the kernel: %w", err))
		return
	}
	a := answers{first: first, errs: make([]error, len(ops))}
	if err := f.collect(&a); err != nil {
		a.lost = err
	}
	for i, op := range ops {
		switch {
		case unwritable(op) != nil:
			results[i] = unwritable(op)
		case a.errs[i] != nil:
			results[i] = meaning(op, a.errs[i])
		case a.lost != nil && (i < len(ops)-1 || !a.ended):
			results[i] = a.lost
		}
	}
}

// answers are those to one batch.
type answers struct {
	first uint32 // sequence number of the first op
	errs  []error
	lost  error // why some may be missing
	ended bool  // the acknowledgement of the last op came
}

// collect reads answers until the last op is answered.
func (f *FIB) collect(a *answers) error {
	for !a.ended {
		n, err := f.conn.receive(f.in)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			a.lost = errLost
			continue
		case err != nil && a.lost != nil:
			return a.lost
		case err != nil:
			return noAnswer(err)
		}
		a.take(f.in[:n])
	}
	return a.lost
}

func (a *answers) take(b []byte) {
	for len(b) > 0 {
		h, payload, rest, err := nextMessage(b)
		if err != nil {
			return
		}
		b = rest
		// A late answer to an earlier request is far outside, whichever way it wraps.
		if i := h.seq - a.first; h.kind == unix.NLMSG_ERROR && int64(i) < int64(len(a.errs)) {
			a.errs[i] = answerOf(payload)
			a.ended = a.ended || int(i) == len(a.errs)-1
		}
	}
}

// kernelError is an errno with what the kernel said about it.
type kernelError struct {
	errno unix.Errno
	words string // of the extended acknowledgement, "" before 4.12 and where it is silent
}

func (e *kernelError) Error() string {
	text := e.errno.Error()
	if e.words != "" {
		text += " (" + e.words + ")"
	}
	if e.errno == unix.EPERM {
		text += "; " + permissionHint
	}
	return text
}

func (e *kernelError) Unwrap() error { return e.errno }

// answerOf reads the payload of NLMSG_ERROR, or the beginning of NLMSG_DONE: nil for success.
func answerOf(b []byte) error {
	if len(b) == 0 {
		return nil // NLMSG_DONE of old kernels
	}
	if len(b) < 4 {
		return errShort
	}
	code := int32(native.Uint32(b)) // a negative errno
	if code == 0 {
		return nil
	}
	return &kernelError{errno: unix.Errno(-code), words: wordsOf(b[4:])}
}

// wordsOf finds the kernel's explanation after the header of the refused request, which
// with NETLINK_CAP_ACK is all that is repeated of it.
func wordsOf(b []byte) string {
	if len(b) < unix.SizeofNlMsghdr {
		return ""
	}
	words := ""
	_ = eachAttr(b[unix.SizeofNlMsghdr:], func(kind uint16, value []byte) error {
		if kind == unix.NLMSGERR_ATTR_MSG {
			words = unix.ByteSliceToString(value)
		}
		return nil
	}) // words that cannot be read are no words: the errno counts
	return words
}

// meaning translates the errors that routes.Table acts on.
func meaning(op routes.Op, err error) error {
	gone := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
	switch {
	case op.Verb == routes.Add && errors.Is(err, unix.EEXIST):
		return &routes.TakenError{}
	case op.Verb != routes.Add && gone:
		return routes.ErrVanished
	}
	return err
}

// nameHolders finds out who holds the keys of refused adds.
func (f *FIB) nameHolders(ops []routes.Op, results []error) {
	for i, err := range results {
		if taken, ok := errors.AsType[*routes.TakenError](err); ok {
			taken.Protocol = f.holder(ops[i].Route.Key.Normalize())
			taken.Owner = protocolOwners[int(taken.Protocol)]
			taken.Ours = taken.Protocol == f.protocol
		}
	}
}

// holder returns the protocol of the route at key: 0 where the kernel prefers another
// for the prefix's first address, as one with a better metric. To look through the whole
// table would be exact, but slow where there are many foreign routes.
func (f *FIB) holder(key routes.Key) uint8 {
	if best, ok := f.lookUp(key.Prefix.Addr()); ok && best.route.Key == key {
		return best.protocol
	}
	return 0
}

// Find implements routes.FIB. The kernel tells of the route that it would use for the
// prefix's first address, which is another one where a better one covers it.
func (f *FIB) Find(ctx context.Context, keys []routes.Key) []routes.Route {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []routes.Route
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		key = key.Normalize()
		if best, ok := f.lookUp(key.Prefix.Addr()); ok && best.route.Key == key && best.protocol == f.protocol {
			found = append(found, best.asOurs())
		}
	}
	return found
}

// lookUp asks the kernel which route of its tables it uses for addr. False: it did not
// say, as where that route is unreachable, or is replaced at this very moment in IPv6.
func (f *FIB) lookUp(addr netip.Addr) (best parsed, ok bool) {
	f.seq++
	b := appendHeader(f.out[:0], unix.RTM_GETROUTE, unix.NLM_F_REQUEST, f.seq)
	b = append(b, familyOf(addr), uint8(addr.BitLen()), 0, 0, 0, 0, 0, 0) // 32 or 128
	b = native.AppendUint32(b, unix.RTM_F_FIB_MATCH)
	b = appendAddr(b, unix.RTA_DST, addr)
	f.out = finish(b, 0)
	if f.conn.send(f.out) != nil {
		return parsed{}, false
	}
	for answered := false; !answered; {
		n, err := f.conn.receive(f.in)
		if err != nil {
			return parsed{}, false
		}
		f.eachAnswer(f.in[:n], func(h header, payload []byte) {
			answered = true
			if h.kind == unix.RTM_NEWROUTE {
				best, err = parseRoute(payload)
				ok = err == nil
			}
		})
	}
	return best, ok
}
