package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
)

const (
	// trialPatience is how long a peer that is brought up after a crash has until the next one is, and one that
	// is up then has once more. A second crash before our End-of-RIB would have helpers delete what is still
	// stale (RFC 4724, section 4.2).
	trialPatience = 3 * time.Second
	// trialQuiet is how long a session has to have been up until its peer has done no harm: one that does
	// not say End-of-RIB has said all as soon as it is up, as far as anybody knows.
	trialQuiet = time.Second
	// trialPeriod is how often it is looked at meanwhile.
	trialPeriod = 100 * time.Millisecond
	// blamePeriod is how soon after a peer was brought up a crash is taken to be its doing.
	blamePeriod = time.Minute
	// The time for which a peer is held down doubles between these with each crash.
	firstHold, lastHold = time.Minute, time.Hour
	// apartPeriod is how long those that come first are brought up one at a time. Of a large mesh that takes
	// longer than peers keep our routes.
	apartPeriod = 10 * time.Minute
	// forgiveAfter is how long a peer must not have been blamed for the next time to be the first again. For
	// lastHold of it the peer may have been held down, which shows nothing.
	forgiveAfter = 2 * lastHold

	reasonQuarantined = "Quarantined"
	meshPrefix        = v1alpha1.MeshPeer + "/"
	waitsForItsTurn   = "after a crash peers are brought up one at a time, and this one's turn is yet to come"
)

// Trials are what the next process has to know of peers that may crash the speaker.
type Trials struct {
	// Begun are the peers that were brought up last, and At when: one, or all that come first.
	Begun []Trial   `json:"begun,omitempty"`
	At    time.Time `json:"at,omitzero"`
	// Late are those that were not up yet when the next one had its turn: a crash of their doing is taken to be
	// of the next one's. In the same search they come behind the others from then on.
	Late []string `json:"late,omitempty"`
	// Apart is until when those that come first are brought up one at a time too, because a crash has
	// followed all of them.
	Apart  time.Time        `json:"apart,omitzero"`
	Blamed map[string]Blame `json:"blamed,omitempty"` // by peer
}

// Trial is a peer, and a fingerprint of what it is configured by.
type Trial struct {
	Peer string `json:"peer"`
	Spec string `json:"spec"`
}

// Blame is what is known of a peer that was followed by a crash.
type Blame struct {
	Spec  string    `json:"spec"`
	Times int       `json:"times"`
	Last  time.Time `json:"last"`
	Until time.Time `json:"until"` // it is held down
}

// quarantine finds the peer whose messages crash the speaker, and holds it down. GoBGP's own goroutines
// panic, so that the process is gone before it could say whose message it was: after a crash peers are
// brought up one at a time, each written down before.
type quarantine struct {
	memory Memory[Trials] // nil: the next process will know nothing
	log    *slog.Logger
	trials Trials

	careful bool                // peers that are not in begun wait; until blamePeriod after the last was begun
	begun   map[string]bool     // since the crash, or since they were let go
	turn    map[string]bool     // those that wait for their turn though all others do not
	trying  map[string]struct{} // those begun last, until the next may be
	since   time.Time           // that they are
	failed  bool                // the memory could not be written
}

// newQuarantine takes up what the process before has left; crashed is when that crashed, the zero Time
// if it did not.
func newQuarantine(memory Memory[Trials], crashed time.Time, log *slog.Logger) *quarantine {
	q := &quarantine{memory: memory, log: log, careful: !crashed.IsZero(), begun: map[string]bool{}, turn: map[string]bool{}}
	if memory != nil {
		q.trials, _ = memory.Load() // what a peer sends outlives a boot
	}
	if q.trials.Blamed == nil {
		q.trials.Blamed = map[string]Blame{}
	}
	for peer := range q.trials.Blamed {
		q.turn[peer] = true // once it is let go
	}
	after := crashed.Sub(q.trials.At)
	switch follows := q.careful && after >= 0 && after < blamePeriod; {
	case follows && len(q.trials.Begun) > 0:
		q.blame(crashed)
	case !follows && len(q.trials.Begun)+len(q.trials.Late) > 0: // the process that brought them up has gone on for long, or ended as it should
		q.trials.Begun, q.trials.Late = nil, nil
		q.store(crashed)
	}
	if q.careful {
		q.trials.At = crashed // the search goes on from here, though there may be no peers yet
	}
	return q
}

// blame is about those that were begun last before a crash.
func (q *quarantine) blame(crashed time.Time) {
	switch begun := q.trials.Begun; len(begun) {
	case 1:
		b := q.trials.Blamed[begun[0].Peer]
		if crashed.Sub(b.Last) > forgiveAfter || b.Spec != begun[0].Spec {
			b.Times = 0
		}
		b.Spec, b.Last, b.Times = begun[0].Spec, crashed, b.Times+1
		b.Until = crashed.Add(min(firstHold<<min(b.Times-1, 10), lastHold))
		q.trials.Blamed[begun[0].Peer], q.turn[begun[0].Peer] = b, true
		q.log.Error("a peer is held down: it was brought up just before the speaker crashed", "peer", begun[0].Peer, "times", b.Times, "until", b.Until)
	default:
		q.trials.Apart = crashed.Add(apartPeriod)
	}
	q.trials.Begun = nil
	q.store(crashed)
}

// step brings the next peers up if it is their turn, and reports whether anything is other than before.
// sessions may be nil where they are not known. specOf returns a fingerprint of what a peer is configured
// by; "" where that is gone.
func (q *quarantine) step(now time.Time, peers []bgp.Peer, sessions []bgp.Session, specOf func(peer string) string) (changed bool) {
	if !q.careful && len(q.turn)+len(q.trying) == 0 {
		return false
	}
	changed = q.letGo(now, specOf)
	if patience := q.patience(now, peers, sessions); patience > 0 {
		if now.Sub(q.since) < patience {
			return changed
		}
		q.late()
	}
	q.trying = nil
	unit := q.next(now, peers)
	if len(unit) == 0 {
		q.finish(now)
		return changed
	}
	q.trials.Begun, q.trials.At = nil, now
	q.trying, q.since = map[string]struct{}{}, now
	for _, peer := range unit {
		q.trials.Begun = append(q.trials.Begun, Trial{peer, specOf(peer)})
		q.trying[peer] = struct{}{}
	}
	q.store(now) // before the peer can say anything
	for _, peer := range unit {
		q.begun[peer] = true
		delete(q.turn, peer)
	}
	return true
}

// late notes who is being tried, and alone, and was given time enough.
func (q *quarantine) late() {
	for peer := range q.trying {
		if len(q.trying) == 1 && !slices.Contains(q.trials.Late, peer) {
			q.trials.Late = append(q.trials.Late, peer)
		}
	}
}

// finish ends the search once a crash would no longer be taken to be of the doing of those begun last. Who
// is configured before that waits for a turn, and is written down, as well.
func (q *quarantine) finish(now time.Time) {
	if now.Sub(q.trials.At) < blamePeriod {
		return
	}
	q.careful = false
	if len(q.trials.Begun)+len(q.trials.Late) > 0 {
		q.trials.Begun, q.trials.Late = nil, nil
		q.store(now)
	}
}

// letGo has those take their turn that need no longer be held down. One whose configuration is gone may be
// back as it was.
func (q *quarantine) letGo(now time.Time, specOf func(string) string) (changed bool) {
	for peer, b := range q.trials.Blamed {
		if b.Until.IsZero() {
			continue
		}
		switch spec := specOf(peer); {
		case now.After(b.Until), b.Until.Sub(now) > lastHold: // the clock was set back
			q.log.Info("a peer that was held down may be tried again", "peer", peer)
		case spec != "" && spec != b.Spec:
			q.log.Info("a peer that was held down is tried again: its configuration has changed", "peer", peer)
		default:
			continue
		}
		b.Until, changed = time.Time{}, true
		q.trials.Blamed[peer] = b
	}
	return changed
}

// patience returns how long those that are being tried have; 0: they have sent all they have, upon which GoBGP
// sends our End-of-RIB, or are no longer wanted.
func (q *quarantine) patience(now time.Time, peers []bgp.Peer, sessions []bgp.Session) (patience time.Duration) {
	wanted := map[string]bool{}
	for _, p := range peers {
		wanted[p.Name] = p.Down == ""
	}
	up, done := map[string]bool{}, map[string]bool{}
	for _, s := range sessions {
		up[s.Peer] = s.State == bgp.Established
		done[s.Peer] = up[s.Peer] && now.Sub(s.Since) >= trialQuiet && (!s.GracefulRestart || endOfRIB(s))
	}
	for peer := range q.trying {
		switch {
		case !wanted[peer], done[peer]:
		case up[peer]:
			return 2 * trialPatience
		default:
			patience = trialPatience
		}
	}
	return patience
}

// next returns who is to be brought up: the mesh first, and with it those that we wait for, because a
// router that is refused may not connect again before it has let go of our routes; those that have been
// blamed last. Where those that come first do so one at a time, the mesh goes before the routers.
func (q *quarantine) next(now time.Time, peers []bgp.Peer) []string {
	var mesh, awaited, others, suspects []string
	for _, p := range peers {
		switch {
		case p.Down != "" || !q.waits(p.Name) || q.held(p.Name):
		case q.turn[p.Name]:
			suspects = append(suspects, p.Name)
		case strings.HasPrefix(p.Name, meshPrefix):
			mesh = append(mesh, p.Name)
		case p.Passive:
			awaited = append(awaited, p.Name)
		default:
			others = append(others, p.Name)
		}
	}
	if first := slices.Concat(mesh, awaited); len(first) > 0 && now.After(q.trials.Apart) {
		return first
	}
	for _, list := range [][]string{mesh, awaited, others, suspects} {
		if len(list) > 0 {
			return []string{slices.MinFunc(list, q.order)}
		}
	}
	return nil
}

// order is that of peers of one list: by name, and those behind that were late.
func (q *quarantine) order(a, b string) int {
	late := func(peer string) int { return slices.Index(q.trials.Late, peer) } // -1: it was not
	return cmp.Or(cmp.Compare(late(a), late(b)), cmp.Compare(a, b))
}

func (q *quarantine) waits(peer string) bool { return q.turn[peer] || q.careful && !q.begun[peer] }

func (q *quarantine) held(peer string) bool { return !q.trials.Blamed[peer].Until.IsZero() }

// admit returns the peers, with those down that are held down or wait.
func (q *quarantine) admit(peers []bgp.Peer) []bgp.Peer {
	var out []bgp.Peer
	for i, p := range peers {
		if p.Down != "" || !q.waits(p.Name) {
			continue
		}
		if out == nil {
			out = slices.Clone(peers)
		}
		if out[i].Down = waitsForItsTurn; q.held(p.Name) {
			out[i].Down = q.trials.Blamed[p.Name].words()
		}
	}
	if out == nil {
		return peers
	}
	return out
}

func (b Blame) words() string {
	return fmt.Sprintf("%s: the speaker crashed within %s after this session was begun, %s, last at %s; what the peer sends is most likely the cause. "+
		"It is tried again at %s, or when its configuration changes", reasonQuarantined, blamePeriod, times(b.Times), clock(b.Last), clock(b.Until))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// wait returns how soon step is to be called again; everLong: not for its own sake.
func (q *quarantine) wait(now time.Time) time.Duration {
	if len(q.trying) > 0 {
		return trialPeriod
	}
	wait := everLong
	if q.careful {
		wait = max(q.trials.At.Add(blamePeriod).Sub(now), trialPeriod)
	}
	for peer := range q.turn {
		if until := q.trials.Blamed[peer].Until; !until.IsZero() {
			wait = min(wait, max(until.Sub(now), trialPeriod))
		}
	}
	return wait
}

// problems names who is held down.
func (q *quarantine) problems(speaker string, peers []bgp.Peer) []report.Problem {
	var out []report.Problem
	for _, p := range peers {
		if p.Down != "" || !q.held(p.Name) {
			continue
		}
		problem := report.Problem{Kind: v1alpha1.KindBGPPeer, Name: plan.ObjectOf(p.Name), Subject: p.Address.String(), Reason: reasonQuarantined, Message: q.trials.Blamed[p.Name].words()}
		if strings.HasPrefix(p.Name, meshPrefix) {
			problem.Kind, problem.Name, problem.Subject = v1alpha1.KindBGPSpeaker, speaker, p.Name
		}
		out = append(out, problem)
	}
	return out
}

// store writes down what the next process has to know. Where it fails peers are brought up all the same.
func (q *quarantine) store(now time.Time) {
	if q.memory == nil {
		return
	}
	maps.DeleteFunc(q.trials.Blamed, func(_ string, b Blame) bool { return b.Until.IsZero() && now.Sub(b.Last) > forgiveAfter })
	switch err := q.memory.Store(q.trials); {
	case err == nil:
		q.failed = false
	case !q.failed:
		q.failed = true
		q.log.Warn("a peer that crashes the speaker again will not be found", "error", err)
	}
}

// specOf returns a fingerprint of what the user has written about a peer; "" where that is gone.
func (l *Loop) specOf(peer string) string {
	var spec any
	if strings.HasPrefix(peer, meshPrefix) {
		if s := l.snap.Speakers[l.plan.Speaker]; s != nil {
			spec = s.Spec
		}
	} else if p := l.snap.Peers[plan.ObjectOf(peer)]; p != nil {
		spec = p.Spec
	}
	text, err := json.Marshal(spec)
	if spec == nil || err != nil {
		return ""
	}
	hash := fnv.New64a()
	_, _ = hash.Write(text)
	return strconv.FormatUint(hash.Sum64(), 16)
}

// tryNext brings the next peers up where it is their turn.
func (l *Loop) tryNext(ctx context.Context) (applied bool) {
	if l.plan == nil {
		return false
	}
	sessions, err := l.Speaker.Sessions(ctx)
	l.noteSessions(err) // once the time of one is over it is the turn of the next all the same
	if !l.quarantine.step(l.Now(), l.plan.Desired.Peers, sessions, l.specOf) {
		return false
	}
	l.apply(ctx)
	l.backOff()
	return true
}
