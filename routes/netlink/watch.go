package netlink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
)

// Event is what a burst of news from the kernel amounts to. It is a hint where to look,
// never a description of what is there now.
type Event struct {
	// Resync: messages were lost, or listening has just begun. Read everything again.
	Resync bool
	// Host: links or addresses changed, or whether they forward. Read the host's facts again.
	Host bool
	// Links are the indexes of links that changed, or whose addresses did: a link that goes down
	// takes its IPv4 routes with it without a word. Sorted, each once.
	Links []int
	// Routes are keys at which someone else changed or removed a route of ours, or put
	// theirs in the place of what may have been ours. Sorted, each once.
	Routes []routes.Key
	// Fallen are keys of routes of ours that the kernel itself removed, as it does in IPv6 with
	// those over a link that goes down. Sorted, each once.
	Fallen []routes.Key
	// Moved: a route of somebody else that leads to a followed address came, went or changed, or
	// a link did over which one leads.
	Moved bool
	// Default: a default route of somebody else came, went or changed.
	Default bool
	// Routed: a route of somebody else to a prefix that Routed asked for came, went or changed.
	Routed bool
}

// maxKeys bounds an Event: past it, reading everything is no dearer.
const maxKeys = 1024

// Watch calls notify for changes that others make, once per burst, first of all with
// Resync, from its own goroutine until ctx is done; that is no error. It listens in the
// network namespace in which it is called. The changes that f makes are left out.
func (f *FIB) Watch(ctx context.Context, notify func(Event)) error {
	feed, err := f.subscribe()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = feed.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	w := &watcher{protocol: f.protocol, self: f.conn.port(), following: &f.following, in: make([]byte, datagram)}
	if err = f.tell(feed); err == nil {
		err = w.run(ctx, feed, notify)
	}
	return errors.Join(err, f.tell(nil), feed.Close())
}

// subscribe opens a socket that hears of links, addresses and those routes that matter.
func (f *FIB) subscribe() (*os.File, error) {
	fd, _, err := bound(unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	feed := os.NewFile(uintptr(fd), "rtnetlink")
	if err := join(fd, filter(f.protocol, f.conn.port(), false)); err != nil {
		return nil, errors.Join(fmt.Errorf("listening to the kernel's changes: %w", err), feed.Close())
	}
	return feed, nil
}

// attach puts a filter in the place of the one that is there.
func attach(fd int, program []unix.SockFilter) error {
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]} // a dozen
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog)
}

func join(fd int, program []unix.SockFilter) error {
	if err := attach(fd, program); err != nil {
		return err
	}
	for _, group := range []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return err
		}
	}
	return nil
}

// filter runs in the kernel, so that neither our own 100,000 adds nor another daemon's
// fill the socket or wake us. Of route messages it passes those of our protocol which self
// did not cause, those in which one route took the place of another, and default routes; with
// others those of anybody.
func filter(protocol uint8, self uint32, others bool) []unix.SockFilter {
	const (
		loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		loadHalf = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		loadWord = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyBit   = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		give     = unix.BPF_RET | unix.BPF_K
		pass     = 0xffffffff
	)
	foreign := unix.SockFilter{Code: anyBit, K: swap16(unix.NLM_F_REPLACE), Jf: 1}
	if others {
		foreign.Jf = 0
	}
	return []unix.SockFilter{
		{Code: loadHalf, K: 4}, // nlmsg_type
		{Code: equal, K: swap16(unix.RTM_NEWROUTE), Jt: 2},
		{Code: equal, K: swap16(unix.RTM_DELROUTE), Jt: 1},
		{Code: give, K: pass},
		{Code: loadWord, K: 12}, // nlmsg_pid
		{Code: equal, K: swap32(self), Jt: 7},
		{Code: loadByte, K: unix.SizeofNlMsghdr + 5}, // rtm_protocol
		{Code: equal, K: uint32(protocol), Jt: 4},
		{Code: loadByte, K: unix.SizeofNlMsghdr + 1}, // rtm_dst_len
		{Code: equal, K: 0, Jt: 2},
		{Code: loadHalf, K: 6}, // nlmsg_flags
		foreign,
		{Code: give, K: pass},
		{Code: give, K: 0},
	}
}

// swap16 and swap32 give a number as a filter sees it, which reads packets big-endian
// although netlink's are native.
func swap16(n uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(native.AppendUint16(nil, n)))
}

func swap32(n uint32) uint32 {
	return binary.BigEndian.Uint32(native.AppendUint32(nil, n))
}

// watcher turns messages into events.
type watcher struct {
	protocol  uint8
	self      uint32
	following *following
	in        []byte
	pending   Event
	broken    error // of the socket: there is no going on
}

func (w *watcher) run(ctx context.Context, feed *os.File, notify func(Event)) error {
	raw, err := feed.SyscallConn()
	if err != nil {
		return fmt.Errorf("listening to the kernel's changes: %w", err)
	}
	w.pending.Resync = true
	for ctx.Err() == nil {
		notify(w.take())
		// Read returns once something was read, and then all that is there has been.
		err := raw.Read(func(fd uintptr) bool { return w.drain(func(b []byte) (int, error) { return receiveNow(int(fd), b) }) })
		if err = errors.Join(w.broken, err); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("listening to the kernel's changes: %w", err)
		}
	}
	return nil
}

func receiveNow(fd int, b []byte) (int, error) {
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	return n, err
}

// drain reads until nothing is left, and reports whether there is anything to tell.
func (w *watcher) drain(receive func([]byte) (int, error)) bool {
	for reads := 0; reads < maxKeys; reads++ { // a flood that never ends is told of in parts
		n, err := receive(w.in)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return w.news()
		case errors.Is(err, unix.ENOBUFS): // the socket overflowed
			w.pending.Resync = true
		case err != nil:
			w.broken = err
			return true
		case n > len(w.in):
			w.pending.Resync = true
		default:
			w.read(w.in[:n])
		}
	}
	return w.news()
}

func (w *watcher) news() bool {
	p := &w.pending
	return p.Resync || p.Host || p.Moved || p.Default || p.Routed || len(p.Routes) > 0 || len(p.Fallen) > 0
}

func (w *watcher) read(b []byte) {
	for len(b) > 0 {
		h, payload, rest, err := nextMessage(b)
		if err != nil {
			w.pending.Resync = true
			return
		}
		w.see(h, payload)
		b = rest
	}
}

func (w *watcher) see(h header, payload []byte) {
	switch h.kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		w.seeLink(payload)
	case unix.RTM_NEWNETCONF:
		w.pending.Host = true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		w.seeRoute(h, payload)
	}
}

// seeLink reads struct ifinfomsg or struct ifaddrmsg, in which the index is at the same place.
func (w *watcher) seeLink(payload []byte) {
	w.pending.Host = true
	if len(payload) < 8 {
		w.pending.Resync = true
		return
	}
	link := int(native.Uint32(payload[4:]))
	w.pending.Links = append(w.pending.Links, link)
	w.pending.Moved = w.pending.Moved || w.following.leadOver(link)
}

func (w *watcher) seeRoute(h header, payload []byte) {
	p, err := parseRoute(payload)
	switch {
	case err != nil:
		w.pending.Resync = true
	case p.protocol == w.protocol && h.port == 0: // at nobody's request
		w.pending.Fallen = append(w.pending.Fallen, p.route.Key)
	case h.port != w.self && (p.protocol == w.protocol || h.flags&unix.NLM_F_REPLACE != 0):
		w.pending.Routes = append(w.pending.Routes, p.route.Key)
	}
	if err != nil || p.protocol == w.protocol {
		return
	}
	w.pending.Default = w.pending.Default || isDefault(p.route)
	w.pending.Moved = w.pending.Moved || w.following.moves(p.route)
	w.pending.Routed = w.pending.Routed || w.following.concerns(p.route)
}

// take returns what is pending and begins anew.
func (w *watcher) take() Event {
	event := w.pending
	w.pending = Event{}
	slices.Sort(event.Links)
	event.Links = slices.Compact(event.Links)
	event.Routes, event.Fallen = sorted(event.Routes), sorted(event.Fallen)
	if len(event.Links)+len(event.Routes)+len(event.Fallen) > maxKeys {
		return Event{Resync: true, Host: event.Host, Moved: event.Moved, Default: event.Default, Routed: event.Routed}
	}
	return event
}

func sorted(keys []routes.Key) []routes.Key {
	slices.SortFunc(keys, routes.Key.Compare)
	return slices.Compact(keys)
}
