package controller

import (
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

// trialFile is a memory of Trials that outlives a process.
type trialFile struct {
	file []byte
	full bool // nothing more can be written
}

func (f *trialFile) Load() (trials Trials, _ bool) {
	if json.Unmarshal(f.file, &trials) != nil {
		return Trials{}, false
	}
	return trials, false
}

func (f *trialFile) Store(trials Trials) (err error) {
	if f.full {
		return errors.New("no space left")
	}
	f.file, err = json.Marshal(trials)
	return err
}

// crashing is a node whose processes follow one another, with a clock of its own.
type crashing struct {
	trialFile
	t       *testing.T
	now     time.Time
	log     strings.Builder
	peers   []string
	specs   map[string]string
	came    time.Time // when the last of them came up
	passive map[string]bool
	up      map[string]bool // sessions that have sent End-of-RIB
	silent  map[string]bool // sessions that have not
	q       *quarantine
}

func newCrashing(t *testing.T, peers ...string) *crashing {
	c := &crashing{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), peers: peers, specs: map[string]string{}}
	c.start(time.Time{})
	return c
}

func (c *crashing) start(crashed time.Time) {
	c.up = map[string]bool{}
	c.q = newQuarantine(c, crashed, slog.New(slog.NewTextHandler(&c.log, nil)))
	c.step()
}

// crash ends the process; the next one starts a little later.
func (c *crashing) crash() {
	at := c.now
	c.now = c.now.Add(300 * time.Millisecond)
	c.start(at)
}

func (c *crashing) wanted() (out []bgp.Peer) {
	for _, name := range c.peers {
		out = append(out, bgp.Peer{Name: name, Passive: c.passive[name]})
	}
	return out
}

func (c *crashing) step() {
	var sessions []bgp.Session
	for name, up := range c.up {
		if up {
			sessions = append(sessions, bgp.Session{Peer: name, State: bgp.Established, Since: c.came, GracefulRestart: true, Families: []bgp.FamilySession{{EndOfRIB: true}}})
		}
	}
	for name := range c.silent {
		sessions = append(sessions, bgp.Session{Peer: name, State: bgp.Established, Since: c.came, GracefulRestart: true, Families: []bgp.FamilySession{{}}})
	}
	c.q.step(c.now, c.wanted(), sessions, func(peer string) string { return c.specs[peer] })
}

// pass lets time go by as the loop would.
func (c *crashing) pass(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		wait := min(c.q.wait(c.now), end.Sub(c.now))
		c.now = c.now.Add(max(wait, time.Millisecond))
		c.step()
	}
}

// spoken expects the speaker to have these peers and no others.
func (c *crashing) spoken(want ...string) {
	c.t.Helper()
	var got []string
	for _, p := range c.q.admit(c.wanted()) {
		if p.Down == "" {
			got = append(got, p.Name)
		}
	}
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		c.t.Errorf("spoken to are %q, want %q\n%s", got, want, c.log.String())
	}
}

// idle expects that there is nobody to look after.
func (c *crashing) idle() {
	c.t.Helper()
	if wait := c.q.wait(c.now); wait != everLong {
		c.t.Errorf("nobody's turn is to come, and it is looked at again after %s", wait)
	}
}

func (c *crashing) delivers(peer string) {
	c.up[peer], c.came = true, c.now
	c.step()
	c.now = c.now.Add(trialQuiet)
	c.step()
}

func (c *crashing) problem(peer string) string {
	for _, p := range c.q.problems("default", c.wanted()) {
		if strings.HasPrefix(peer, p.Name) || p.Subject == peer {
			return p.Reason + ": " + p.Message
		}
	}
	return ""
}

func TestWithoutACrashNobodyWaits(t *testing.T) {
	c := newCrashing(t, "mesh/b/1", "tor-a/1", "tor-b/1")
	c.spoken("mesh/b/1", "tor-a/1", "tor-b/1")
	if c.q.wait(c.now) != everLong || c.file != nil {
		t.Errorf("it is called again after %s, and has written %s", c.q.wait(c.now), c.file)
	}
}

func TestAfterACrashPeersComeBackOneAtATime(t *testing.T) {
	c := newCrashing(t, "mesh/b/1", "mesh/c/1", "tor-a/1", "tor-b/1", "tor-c/1")
	c.crash()
	c.spoken("mesh/b/1", "mesh/c/1")
	c.delivers("mesh/b/1")
	c.spoken("mesh/b/1", "mesh/c/1")
	c.delivers("mesh/c/1")
	c.spoken("mesh/b/1", "mesh/c/1", "tor-a/1")
	c.up["tor-a/1"], c.came = true, c.now
	c.step() // it may be about to say what crashes us
	c.spoken("mesh/b/1", "mesh/c/1", "tor-a/1")
	c.delivers("tor-a/1")
	c.spoken("mesh/b/1", "mesh/c/1", "tor-a/1", "tor-b/1")
	c.pass(trialPatience - trialPeriod) // one that is not there holds nobody up for long
	c.spoken("mesh/b/1", "mesh/c/1", "tor-a/1", "tor-b/1")
	c.pass(2 * trialPeriod)
	c.spoken(c.peers...)
	c.delivers("tor-c/1")
	c.peers = append(c.peers, "tor-d/1") // a new one may be the cause as well, and is written down
	c.spoken(c.peers[:5]...)
	c.step()
	c.spoken(c.peers...)
	c.pass(2 * blamePeriod)
	c.peers = append(c.peers, "tor-e/1") // so much later it has no turn to wait for
	c.spoken(c.peers...)
	if c.q.wait(c.now) != everLong {
		t.Error("it goes on though all are up")
	}
}

func TestAPeerThatIsUpHasAsLongAgainForItsEndOfRIB(t *testing.T) {
	c := newCrashing(t, "tor-a/1", "tor-b/1", "tor-c/1")
	c.crash()
	c.pass(trialPatience - trialPeriod)
	c.silent, c.came = map[string]bool{"tor-a/1": true}, c.now
	c.pass(trialPatience / 2)
	c.spoken("tor-a/1")
	c.silent = nil
	c.delivers("tor-a/1")
	c.spoken("tor-a/1", "tor-b/1")
	c.silent, c.came = map[string]bool{"tor-b/1": true}, c.now
	c.pass(2*trialPatience - 2*trialPeriod)
	c.spoken("tor-a/1", "tor-b/1")
	c.pass(3 * trialPeriod) // one that never sends it holds nobody up for long
	c.spoken("tor-a/1", "tor-b/1", "tor-c/1")
}

func TestThePeerThatIsFollowedByASecondCrashIsHeldDown(t *testing.T) {
	c := newCrashing(t, "mesh/b/1", "tor-a/1", "tor-b/1", "tor-c/1")
	c.crash()
	c.delivers("mesh/b/1")
	c.delivers("tor-a/1")
	c.spoken("mesh/b/1", "tor-a/1", "tor-b/1")
	c.crash() // of tor-b's doing
	for _, peer := range c.peers {
		c.delivers(peer)
	}
	c.spoken("mesh/b/1", "tor-a/1", "tor-c/1")
	if got := c.problem("tor-b/1"); !strings.HasPrefix(got, "Quarantined: Quarantined: the speaker crashed within 1m0s after this session was begun, once") {
		t.Errorf("it is said %q", got)
	}
	c.pass(firstHold - 6*time.Second)
	c.spoken("mesh/b/1", "tor-a/1", "tor-c/1")
	c.pass(8 * time.Second)
	c.spoken(c.peers...)
	c.crash() // again
	for _, peer := range c.peers {
		c.delivers(peer)
	}
	c.pass(2*firstHold - 6*time.Second)
	c.spoken("mesh/b/1", "tor-a/1", "tor-c/1")
	c.pass(8 * time.Second)
	c.spoken(c.peers...)
	c.pass(2 * time.Minute)
	c.idle()
	c.crash() // so much later it may be anybody's
	c.pass(time.Minute)
	c.spoken(c.peers...)
	c.pass(time.Minute)
	c.idle()
}

func TestAPeerThatIsTriedLongAfterACleanStartIsDoneWith(t *testing.T) {
	c := newCrashing(t, "tor-a/1", "tor-b/1")
	c.crash()
	c.crash() // of tor-a's doing
	c.start(time.Time{})
	c.spoken("tor-b/1")
	c.pass(2 * firstHold)
	c.spoken(c.peers...)
	c.idle()
}

func TestTheTimeGrowsToAnHourAndStaysThere(t *testing.T) {
	c := newCrashing(t, "tor-a/1")
	hold := func() time.Duration {
		c.t.Helper()
		at := c.now
		c.crash()
		c.spoken()
		return c.q.trials.Blamed["tor-a/1"].Until.Sub(at)
	}
	c.crash()
	for _, minutes := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		want := time.Duration(minutes) * time.Minute
		if got := hold(); got != want {
			t.Errorf("it is held down for %s, want %s", got, want)
		}
		c.pass(want + time.Second)
		c.spoken("tor-a/1")
	}
	c.pass(forgiveAfter - lastHold)
	c.crash()
	if got := hold(); got != firstHold {
		t.Errorf("after an hour without a crash it is held down for %s", got)
	}
}

// A router may be found, or call, only after the first plan.
func TestAPeerThatIsThereOnlyLaterIsFound(t *testing.T) {
	c := newCrashing(t)
	c.crash()
	c.pass(5 * time.Second)
	c.peers = []string{"tor-a/1"}
	c.spoken()
	c.step()
	c.spoken("tor-a/1")
	c.crash()
	c.spoken()
	if c.problem("tor-a/1") == "" {
		t.Error("it is not held down")
	}
	c.pass(2 * firstHold)
	c.spoken("tor-a/1")
	c.pass(2 * blamePeriod)
	c.idle()
}

func TestAChangedConfigurationEndsTheQuarantine(t *testing.T) {
	c := newCrashing(t, "tor-a/1", "tor-b/1")
	c.crash()
	c.crash()
	c.delivers("tor-b/1")
	c.spoken("tor-b/1")
	c.start(time.Time{}) // as for an upgrade
	c.spoken("tor-b/1")
	c.specs["tor-a/1"] = "another"
	c.step()
	c.spoken(c.peers...)
}

// One that has its session only after the turn of the next has come is found behind the others, of which one alone
// is held down in its place.
func TestAPeerThatCrashesTheSpeakerLateIsFound(t *testing.T) {
	c := newCrashing(t, "tor-a/1", "tor-b/1", "tor-c/1", "tor-d/1")
	c.crash()
	c.pass(trialPatience + trialPeriod)
	c.spoken("tor-a/1", "tor-b/1")
	c.crash() // of tor-a's doing
	c.spoken("tor-c/1")
	c.q.trials.Begun = nil // as of a process that ends before it has begun anything
	c.q.store(c.now)
	c.crash()
	c.spoken("tor-c/1")
	if !c.q.trials.Apart.IsZero() {
		t.Error("a crash that follows nobody is taken to be of the mesh")
	}
	c.delivers("tor-c/1")
	c.spoken("tor-c/1", "tor-d/1")
	c.delivers("tor-d/1")
	c.spoken("tor-a/1", "tor-c/1", "tor-d/1")
	c.pass(trialPatience + trialPeriod)
	c.crash() // again
	c.delivers("tor-c/1")
	c.delivers("tor-d/1")
	c.spoken("tor-c/1", "tor-d/1")
	if c.problem("tor-a/1") == "" {
		t.Error("it is not found")
	}
	c.pass(2 * firstHold)
	c.spoken(c.peers...)
	c.pass(2 * blamePeriod)
	if late := c.q.trials.Late; late != nil {
		t.Errorf("though the search is over it is known that %q were late", late)
	}
}

// Of what is gone nobody knows that it has changed.
func TestAPeerThatIsTakenAwayAndIsBackAsItWasIsStillHeldDown(t *testing.T) {
	c := newCrashing(t, "tor-a/1", "tor-b/1")
	c.specs["tor-a/1"] = "one"
	c.crash()
	c.crash()
	c.peers = c.peers[1:]
	delete(c.specs, "tor-a/1")
	c.step()
	if strings.Contains(c.log.String(), "has changed") {
		t.Error(c.log.String())
	}
	c.peers, c.specs["tor-a/1"] = []string{"tor-a/1", "tor-b/1"}, "one"
	c.delivers("tor-b/1")
	c.spoken("tor-b/1")
	c.specs["tor-a/1"] = "two"
	c.step()
	c.spoken(c.peers...)
}

func TestAMeshThatIsFollowedByACrashIsTakenApart(t *testing.T) {
	c := newCrashing(t, "mesh/b/1", "mesh/c/1", "tor-a/1")
	c.crash()
	c.spoken("mesh/b/1", "mesh/c/1")
	c.crash()
	c.spoken("mesh/b/1")
	c.delivers("mesh/b/1")
	c.spoken("mesh/b/1", "mesh/c/1")
	c.crash()
	c.delivers("mesh/b/1")
	c.delivers("tor-a/1")
	c.spoken("mesh/b/1", "tor-a/1")
	if got := c.problem("mesh/c/1"); !strings.HasPrefix(got, "Quarantined: ") {
		t.Errorf("it is said %q", got)
	}
	c.peers[1] = "mesh/d/1"
	c.pass(2 * apartPeriod)
	c.crash() // another day
	c.spoken("mesh/b/1", "mesh/d/1")
}

// A router that is refused may wait for longer than it keeps our routes.
func TestThoseThatWeWaitForComeFirst(t *testing.T) {
	c := newCrashing(t, "a-rack/1", "a-rack/2", "a-tor/1", "mesh/b/1")
	c.passive = map[string]bool{"a-rack/1": true, "a-rack/2": true, "mesh/b/1": true}
	c.crash()
	c.spoken("a-rack/1", "a-rack/2", "mesh/b/1")
	c.crash()
	c.spoken("mesh/b/1")
	c.delivers("mesh/b/1")
	c.spoken("mesh/b/1", "a-rack/1")
}

// What a process has begun that ended as it should is nobody's fault.
func TestACleanRestartEndsTheSearch(t *testing.T) {
	c := newCrashing(t, "tor-a/1", "tor-b/1")
	c.crash()
	c.start(time.Time{})
	c.crash()
	c.pass(4 * trialPatience)
	c.spoken(c.peers...)
}

func TestAClockThatIsSetBackHoldsNobodyDown(t *testing.T) {
	c := newCrashing(t, "tor-a/1")
	c.crash()
	c.crash()
	c.spoken()
	c.now = c.now.Add(-24 * time.Hour)
	c.pass(2 * trialPeriod)
	c.spoken(c.peers...)
}

// A file that is lost, spoilt or cannot be written costs the search and nothing else.
func TestWithoutAMemoryPeersComeBackAllTheSame(t *testing.T) {
	c := newCrashing(t, "tor-a/1", "tor-b/1")
	c.full = true
	c.crash()
	c.pass(time.Minute)
	c.spoken(c.peers...)
	if n := strings.Count(c.log.String(), "will not be found"); n != 1 {
		t.Errorf("it is said %d times\n%s", n, c.log.String())
	}
	c.file = []byte(`{"begun": 7}`)
	c.crash()
	c.pass(time.Minute)
	c.spoken(c.peers...)
}
