package netlink

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"
)

// faulty is a socket to the real kernel on which one thing goes wrong, once.
type faulty struct {
	conn
	armed   fault
	errno   unix.Errno
	refused uint32 // sequence number of the message that is refused; 0: none
	struck  bool   // it went wrong
}

// fault is what goes wrong.
type fault uint8

const (
	noFault      fault = iota
	sendFails          // the write as a whole
	routeRefused       // one message of a batch is not carried out, and answered with an errno
	answersLost        // the socket's buffer overflowed, and a refusal was in it
	dumpChanged        // the table changed while it was read, and one route is missing
	faults
)

func (f fault) String() string {
	return [...]string{"no fault", "the write fails", "a route is refused", "answers are lost", "the dump is interrupted"}[f]
}

// arm has something go wrong with what is sent next.
func (f *faulty) arm(r *rand.Rand) string {
	f.armed, f.struck, f.refused = 1+fault(r.IntN(int(faults)-1)), false, 0
	// Not ESRCH or EEXIST: they are answers, and as lies they cannot be told from the truth.
	errnos := []unix.Errno{unix.EPERM, unix.EINVAL, unix.ENOBUFS, unix.ENOMEM, unix.ENETUNREACH, unix.EAGAIN}
	f.errno = errnos[r.IntN(len(errnos))]
	return fmt.Sprintf("%s (%s)", f.armed, unix.ErrnoName(f.errno))
}

// disarm ends it, and reports whether anything went wrong.
func (f *faulty) disarm() bool {
	struck := f.struck
	f.armed, f.refused, f.struck = noFault, 0, false
	return struck
}

func (f *faulty) send(b []byte) error {
	isDump := native.Uint16(b[4:]) == unix.RTM_GETROUTE
	switch {
	case f.struck:
	case f.armed == sendFails:
		f.struck = true
		return f.errno
	case f.armed == routeRefused && !isDump:
		f.struck = true
		return f.conn.send(f.refuse(b))
	case f.armed == answersLost && !isDump:
		return f.conn.send(lose(b))
	}
	return f.conn.send(b)
}

// refuse makes the message in the middle one that the kernel acknowledges and does not act on.
func (f *faulty) refuse(batch []byte) []byte {
	out := slices.Clone(batch)
	starts := startsIn(out)
	at := starts[len(starts)/2]
	native.PutUint16(out[at+4:], unix.NLMSG_NOOP)
	native.PutUint16(out[at+6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	f.refused = native.Uint32(out[at+8:])
	return out
}

// lose makes the first message one that the kernel does not act on, without a word. The last
// one is left: its acknowledgement comes.
func lose(batch []byte) []byte {
	out := slices.Clone(batch)
	if len(startsIn(out)) > 1 {
		native.PutUint16(out[4:], unix.NLMSG_NOOP)
	}
	return out
}

// startsIn returns where the messages begin.
func startsIn(b []byte) (starts []int) {
	for at := 0; at+unix.SizeofNlMsghdr <= len(b); at += align(int(native.Uint32(b[at:]))) {
		starts = append(starts, at)
	}
	return starts
}

func (f *faulty) receive(b []byte) (int, error) {
	if f.armed == answersLost && !f.struck {
		f.struck = true
		return 0, unix.ENOBUFS
	}
	n, err := f.conn.receive(b)
	if err != nil {
		return n, err
	}
	for _, at := range startsIn(b[:n]) {
		kind, seq := native.Uint16(b[at+4:]), native.Uint32(b[at+8:])
		switch {
		case kind == unix.NLMSG_ERROR && seq == f.refused && f.refused != 0:
			native.PutUint32(b[at+unix.SizeofNlMsghdr:], uint32(-int32(f.errno)))
		case kind == unix.RTM_NEWROUTE && f.armed == dumpChanged && !f.struck:
			f.struck = true
			native.PutUint16(b[at+4:], unix.NLMSG_NOOP)
			native.PutUint16(b[at+6:], native.Uint16(b[at+6:])|unix.NLM_F_DUMP_INTR)
		}
	}
	return n, err
}
