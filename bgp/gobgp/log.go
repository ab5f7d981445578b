package gobgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/osrg/gobgp/v3/pkg/log"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// exitFatal is the status after a fatal error of GoBGP: that of a Go program that panicked,
// so that the parent process sees a crash.
const exitFatal = 2

// logger is GoBGP's way to our log, and ours to what GoBGP tells only its log: why a session
// went down or does not come up, and that a password could not be set.
type logger struct {
	out      *slog.Logger
	ctx      context.Context // of Run: GoBGP gives none
	sessions *sessionLog
	exit     func(status int)
	synced   chan struct{} // readable after GoBGP ended its restart

	callers callers

	mu  sync.Mutex
	md5 map[netip.Prefix]error // by the prefix, or the address as one, that a password was for
}

var _ log.Logger = (*logger)(nil)

func newLogger(out *slog.Logger, sessions *sessionLog, events chan<- struct{}) *logger {
	return &logger{
		out:      out.With("component", "gobgp"),
		sessions: sessions,
		exit:     os.Exit,
		synced:   make(chan struct{}, 1),
		callers:  callers{heard: events},
		md5:      map[netip.Prefix]error{},
	}
}

// Panic implements log.Logger.
func (l *logger) Panic(msg string, fields log.Fields) {
	l.write(slog.LevelError, msg, fields)
	panic("gobgp: " + msg)
}

// Fatal implements log.Logger: GoBGP cannot go on.
func (l *logger) Fatal(msg string, fields log.Fields) {
	l.write(slog.LevelError, msg, fields)
	l.exit(exitFatal)
}

// Error implements log.Logger.
func (l *logger) Error(msg string, fields log.Fields) {
	l.write(levelOf(msg, fields, slog.LevelError), msg, fields)
}

// Warn implements log.Logger.
func (l *logger) Warn(msg string, fields log.Fields) {
	l.observe(msg, fields)
	l.write(levelOf(msg, fields, slog.LevelWarn), msg, fields)
}

// Info implements log.Logger.
func (l *logger) Info(msg string, fields log.Fields) {
	l.observe(msg, fields)
	l.write(levelOf(msg, fields, slog.LevelDebug), msg, fields)
}

// Debug implements log.Logger.
func (l *logger) Debug(msg string, fields log.Fields) {
	l.observe(msg, fields)
	l.write(slog.LevelDebug, msg, fields)
}

// SetLevel implements log.Logger. The level is that of the process's log.
func (l *logger) SetLevel(log.LogLevel) {}

// GetLevel implements log.Logger. GoBGP says why it cannot connect only at the level of debug,
// at which it also says something of every path: so that is its level only as long as some
// session does not stand.
func (l *logger) GetLevel() log.LogLevel {
	if l.sessions.allUp.Load() && !l.out.Enabled(l.ctx, slog.LevelDebug) {
		return log.InfoLevel
	}
	return log.DebugLevel
}

// levels holds the messages whose level at GoBGP does not tell what they mean to an operator.
var levels = map[string]slog.Level{
	"Peer Up":       slog.LevelInfo,
	"Peer Down":     slog.LevelInfo,
	"sync finished": slog.LevelInfo,

	// What the peers or strangers cause at their own pace, or we by ordinary changes.
	"failed to close existing tcp connection":       slog.LevelDebug,
	"Closed an accepted connection":                 slog.LevelDebug,
	"accepted conn is closed to avoid be blocked":   slog.LevelDebug,
	"active conn is closed to avoid being blocked":  slog.LevelDebug,
	"cannot change to the same state":               slog.LevelDebug,
	"restart flag is not set":                       slog.LevelDebug,
	"failed to unset md5":                           slog.LevelDebug,
	"failed to clear md5":                           slog.LevelDebug,
	"received notification":                         slog.LevelInfo,
	"sent notification":                             slog.LevelInfo,
	"Can't find the neighbor":                       slog.LevelDebug,
	"prefix limit reached":                          slog.LevelDebug, // of each UPDATE until the session has ended, which is told
	noMatchingPath:                                  slog.LevelDebug,
	"Administrative shutdown(Prefix limit reached)": slog.LevelWarn,
}

// noMatchingPath comes with every withdrawal of what the import policy had refused.
const noMatchingPath = "No matching path for withdraw found, may be path was not installed into table"

// What GoBGP says of malformed messages that do not end the session (RFC 7606, section 2).
const (
	treatedAsWithdraw   = "the received Update message was treated as withdraw"
	attributesDiscarded = "Some attributes were discarded"
	familyDisabled      = "Capability was disabled"
	familyNotDisabled   = "Error occurred during AFI/SAFI disabling" // as the attribute names none
)

func levelOf(msg string, fields log.Fields, otherwise slog.Level) slog.Level {
	if msg == md5Failed {
		if staleListener(fields) {
			return slog.LevelDebug
		}
		return slog.LevelError
	}
	if level, ok := levels[msg]; ok {
		return level
	}
	return otherwise
}

func (l *logger) write(level slog.Level, msg string, fields log.Fields) {
	if !l.out.Enabled(l.ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, len(fields))
	for key, value := range fields {
		switch key {
		case "Topic", "State", log.FieldFacility:
			continue
		case "Key":
			key = "peer"
		case "Reason":
			value = downReason(fmt.Sprint(value))
		}
		attrs = append(attrs, slog.Any(strings.ToLower(key), value))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	l.out.LogAttrs(l.ctx, level, strings.ToLower(msg), attrs...) //nolint:sloglint // the message is GoBGP's
}

const md5Failed = "failed to set md5"

// staleListener recognises a listener of before the last stop: GoBGP keeps them in its list.
func staleListener(fields log.Fields) bool {
	err, ok := fields["Err"].(error)
	return ok && errors.Is(err, net.ErrClosed)
}

// observe takes from a message what there is to know about a session.
func (l *logger) observe(msg string, fields log.Fields) {
	switch msg {
	case "sync finished":
		signal(l.synced)
	case md5Failed:
		l.noteMD5Failure(fields)
	case strangerRefused, callerRefused:
		key, _ := fields["Key"].(string)
		l.callers.note(parseAddr(key))
	}
	addr := peerOf(fields)
	if !addr.IsValid() {
		return
	}
	switch msg {
	case "Peer Up":
		l.sessions.up(addr)
	case "Peer Down":
		l.sessions.down(addr, fmt.Sprint(fields["Reason"]))
	case "failed to connect":
		l.sessions.attempt(addr, fmt.Sprintf("connecting: %v", fields["Error"]))
	case "received notification":
		l.sessions.attempt(addr, "the peer sent NOTIFICATION "+notification(fields))
	case "sent notification":
		l.sessions.attempt(addr, "we sent NOTIFICATION "+notification(fields))
		if asn := refusedASN(fields); asn != 0 {
			l.sessions.saw(addr, asn)
		}
	case treatedAsWithdraw:
		l.sessions.malformed(addr, fmt.Sprintf("the peer sent a malformed UPDATE, which is treated as a withdrawal: %v", fields["Error"]))
	case attributesDiscarded:
		l.sessions.malformed(addr, fmt.Sprintf("the peer sent malformed path attributes, which are discarded: %v", fields["Error"]))
	case familyDisabled, familyNotDisabled:
		l.sessions.malformed(addr, "the peer sent a malformed MP_REACH_NLRI or MP_UNREACH_NLRI, and that UPDATE is ignored")
	case "hold timer expired":
		l.sessions.attempt(addr, "hold timer expired: nothing was heard from the peer")
	}
}

func (l *logger) noteMD5Failure(fields log.Fields) {
	key, _ := fields["Key"].(string)
	prefix, err := netip.ParsePrefix(key)
	if err != nil {
		prefix = hostPrefix(peerOf(fields))
	}
	if staleListener(fields) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.md5[prefix] = fmt.Errorf("%v", fields["Err"])
}

// md5Failure says why the password of a prefix, or of an address as one, could not be set.
func (l *logger) md5Failure(of netip.Prefix) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.md5[of]
}

func (l *logger) clearMD5Failure(of netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.md5, of)
}

// hostPrefix is an address as the prefix that holds it alone; the zero Prefix for the zero Addr.
func hostPrefix(addr netip.Addr) netip.Prefix {
	return netip.PrefixFrom(addr.WithZone(""), addr.BitLen())
}

// peerOf returns the peer that a message is about, without its zone.
func peerOf(fields log.Fields) netip.Addr {
	key, _ := fields["Key"].(string)
	return parseAddr(key).WithZone("")
}

// notification puts a NOTIFICATION in words (RFC 4271, section 4.5; RFC 9003).
func notification(fields log.Fields) string {
	if e, ok := fields["Data"].(*packet.MessageError); ok {
		text := fmt.Sprint(packet.NewNotificationErrorCode(e.TypeCode, e.SubTypeCode))
		if e.Message != "" {
			text += ": " + e.Message
		}
		return text
	}
	code, _ := fields["Code"].(uint8)
	subcode, _ := fields["Subcode"].(uint8)
	text := fmt.Sprint(packet.NewNotificationErrorCode(code, subcode))
	if reason, _ := fields["Communicated-Reason"].(string); reason != "" {
		text += fmt.Sprintf(": %q", reason)
	}
	return text
}
