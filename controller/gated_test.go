package controller

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// readiness changes what addresses of Services wait for.
func (w *world) readiness(edit func(*v1alpha1.Readiness)) {
	w.change(func(s *snapshot.Snapshot) {
		speaker := s.Speakers["default"].DeepCopy()
		edit(&speaker.Spec.Readiness)
		s.Speakers = map[string]*v1alpha1.BGPSpeaker{"default": speaker}
	})
}

func delayOf(milliseconds int32) func(*v1alpha1.Readiness) {
	return func(r *v1alpha1.Readiness) { r.DataplaneDelayMilliseconds = &milliseconds }
}

func probed(r *v1alpha1.Readiness) {
	r.Probes = []v1alpha1.ReadinessProbe{{Name: "proxy", File: &v1alpha1.FileProbe{Path: "/ready"}}}
}

// answer has the probe "proxy" answered, and ports say yes.
func (w *world) answer(good bool, ports ...uint16) {
	w.mu.Lock()
	w.answers = Answers{Probes: map[string]Answer{"proxy": {Good: good, Words: "an answer"}}, Ports: map[uint16]bool{}}
	for _, port := range ports {
		w.answers.Ports[port] = true
	}
	w.mu.Unlock()
	signal(w.answered)
}

// announced is what the speaker holds; the pod CIDR is left out, for it is always there.
func (w *world) announced(t *testing.T) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	pods := false
	for prefix := range w.desired.Advertisements.Keys() {
		if prefix.String() == "10.244.1.0/24" {
			pods = true
			continue
		}
		out = append(out, prefix.String())
	}
	if !pods {
		t.Error("the pod CIDR is not announced")
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (w *world) mustAnnounce(t *testing.T, want string) {
	t.Helper()
	if got := w.announced(t); got != want {
		t.Errorf("announced are %q, want %q", got, want)
	}
}

func TestAddressesOfServicesWaitForTheRoutes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.serve("a")
		w.ribErr = errors.New("the speaker is busy")
		w.start(t)
		pass(time.Minute)
		w.mustAnnounce(t, "")
		if got := w.told().Waiting; got[waitRoutes] != 1 {
			t.Errorf("the report says %v", got)
		}
		w.mu.Lock()
		w.ribErr = nil
		w.mu.Unlock()
		pass(retryPeriod)
		w.mustAnnounce(t, "10.96.0.97/32")
		if got := w.told().Waiting; len(got) != 0 {
			t.Errorf("the report says %v", got)
		}
	})
}

// A route to pods that the kernel does not take is one that packets for a Service need; where
// somebody else's route is, that leads there.
func TestAddressesOfServicesWaitForTheRoutesToPods(t *testing.T) {
	for _, tt := range []struct {
		refused, foreign, want string
	}{
		{"10.244.2.0/24", "", ""},
		{"", "10.244.2.0/24", "10.96.0.97/32"},
		{"198.51.100.0/24", "", "10.96.0.97/32"},
	} {
		inWorld(t, func(t *testing.T, w *world) {
			w.advertise(32)
			w.serve("a")
			w.refused, w.foreign = tt.refused, tt.foreign
			w.learn("10.244.2.0/24")
			w.learn("198.51.100.0/24")
			w.start(t)
			pass(time.Minute)
			w.mustAnnounce(t, tt.want)
			if n := len(w.told().Routes.Failed); n != 1 {
				t.Errorf("%d routes have failed", n)
			}
			w.mu.Lock()
			w.refused = ""
			w.mu.Unlock()
			pass(time.Minute)
			w.mustAnnounce(t, "10.96.0.97/32")
		})
	}
}

func TestEachAddressWaitsItsOwnDelay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.start(t)
		w.readiness(delayOf(300))
		pass(time.Minute)
		add := func(services string) {
			w.change(func(s *snapshot.Snapshot) { s.Services, s.Slices = servicesOf(services) })
		}
		add("a")
		pass(200 * time.Millisecond)
		add("a b")
		w.mustAnnounce(t, "")
		pass(100 * time.Millisecond)
		w.mustAnnounce(t, "10.96.0.97/32")
		if got := w.told().Waiting; got[waitDelay] != 1 {
			t.Errorf("the report says %v", got)
		}
		pass(200 * time.Millisecond)
		w.mustAnnounce(t, "10.96.0.97/32 10.96.0.98/32")
		add("b")
		pass(time.Millisecond)
		w.mustAnnounce(t, "10.96.0.98/32")
		applies := w.appliedTimes()
		pass(time.Minute)
		if again := w.appliedTimes() - applies; again != 0 {
			t.Errorf("applied %d times without a reason", again)
		}
	})
}

func TestAProbeThatFailsWithdrawsAtOnceAndSaysSo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.serve("a b")
		w.readiness(probed)
		w.start(t)
		pass(time.Second)
		w.mustAnnounce(t, "")
		w.answer(true)
		pass(time.Millisecond)
		w.mustAnnounce(t, "10.96.0.97/32 10.96.0.98/32")
		w.setSession("Established", true)
		pass(time.Second)
		if got := w.services(); got != "2 map[]" {
			t.Errorf("the report counts %s", got)
		}
		w.answer(false)
		pass(time.Millisecond)
		w.mustAnnounce(t, "")
		pass(10 * time.Second)
		if got := w.services(); got != "0 map[ProbeFailed:2]" || w.told().Waiting[waitProbeBad] != 2 {
			t.Errorf("the report counts %s, and %v as waiting", got, w.told().Waiting)
		}
		if said := problems(w); !strings.Contains(said, "BGPSpeaker default proxy ProbeFailed: the probe proxy fails, so this node announces no address of a Service: an answer") {
			t.Errorf("the report says %s", said)
		}
		w.answer(true)
		pass(time.Millisecond)
		w.mustAnnounce(t, "10.96.0.97/32 10.96.0.98/32")
		w.stop() // and with it the writing of the log
		if log := w.log.String(); strings.Count(log, "a probe fails") != 1 || strings.Count(log, "may be announced") != 2 {
			t.Errorf("the log is\n%s", log)
		}
	})
}

// services counts what the report says of addresses of Services.
func (w *world) services() string {
	for _, row := range w.told().Advertisements {
		if row.Source == v1alpha1.AdvertisedFromServices {
			return fmt.Sprint(row.Advertised, row.Rejected)
		}
	}
	return ""
}

func (w *world) appliedTimes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applies
}

// told is the last report.
func (w *world) told() *report.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// kept is what is remembered, and how often it was written.
func (w *world) kept() (prefixes []netip.Prefix, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.remembered, w.stores
}

func problems(w *world) string {
	var out []string
	for _, p := range w.told().Problems {
		out = append(out, p.Kind+" "+p.Name+" "+p.Subject+" "+p.Reason+": "+p.Message)
	}
	return strings.Join(out, "\n")
}

func TestAnAddressThatWaitsLongForTheServiceProxyIsNamed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.serve("A")
		w.start(t)
		w.setSession("Established", true)
		pass(20 * time.Second)
		w.mustAnnounce(t, "")
		if got := w.services(); got != "0 map[]" {
			t.Errorf("too early the report counts %s", got)
		}
		if said := problems(w); strings.Contains(said, waitPort) {
			t.Errorf("too early the report says %s", said)
		}
		pass(20 * time.Second)
		if said := problems(w); !strings.Contains(said, "Service default/A 203.0.113.65 HealthCheckNodePort: 203.0.113.65 is not announced") {
			t.Errorf("the report says %s", said)
		}
		if got := w.services(); got != "0 map[HealthCheckNodePort:1]" {
			t.Errorf("the report counts %s", got)
		}
		w.answer(true, 30065)
		pass(time.Second)
		w.mustAnnounce(t, "203.0.113.65/32")
		w.mu.Lock()
		asked := w.asked.Ports
		w.mu.Unlock()
		if said := problems(w); strings.Contains(said, waitPort) || len(asked) != 0 {
			t.Errorf("the report says %s; %v is asked", said, asked)
		}
		if got := w.services(); got != "1 map[]" {
			t.Errorf("the report counts %s", got)
		}
	})
}

// How long a probe fails says nothing of the service proxy, which is asked anew afterwards.
func TestTheServiceProxyHasItsTimeAfterAProbeThatFailed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.serve("A B")
		w.readiness(probed)
		w.answer(true, 30065)
		w.start(t)
		pass(time.Second)
		w.mustAnnounce(t, "203.0.113.65/32")
		pass(time.Minute)
		w.answer(false)
		pass(time.Minute)
		w.answer(true)
		pass(20 * time.Second)
		w.mustAnnounce(t, "")
		if said := problems(w); strings.Contains(said, waitPort) {
			t.Errorf("too early the report says %s", said)
		}
		pass(20 * time.Second)
		for _, service := range []string{"default/A", "default/B"} {
			if said := problems(w); !strings.Contains(said, "Service "+service) {
				t.Errorf("of %s the report says %s", service, said)
			}
		}
	})
}

func TestARestartAnnouncesAtOnceWhatWasAnnounced(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.serve("a A")
		w.readiness(func(r *v1alpha1.Readiness) { delayOf(2000)(r); probed(r) })
		w.answer(true, 30065)
		w.start(t)
		pass(3 * time.Second)
		w.mustAnnounce(t, "10.96.0.97/32 203.0.113.65/32")
		w.stop()

		w.answers = Answers{}
		w.serve("a A b") // b came while the agent was away
		w.ribErr = errors.New("the speaker is busy")
		w.start(t)
		pass(time.Millisecond)
		w.mustAnnounce(t, "10.96.0.97/32 203.0.113.65/32")
		w.mu.Lock()
		w.ribErr = nil
		w.mu.Unlock()
		w.answer(true)
		pass(10 * time.Second)
		w.mustAnnounce(t, "10.96.0.97/32 10.96.0.98/32 203.0.113.65/32")

		w.answer(false)
		pass(time.Second)
		if kept, _ := w.kept(); len(kept) != 1 { // the pod CIDR: a crash must not bring the others back
			t.Errorf("remembered is %v", kept)
		}
		w.stop()
		w.answers = Answers{}
		w.start(t)
		pass(time.Minute)
		w.mustAnnounce(t, "") // what was not announced is not, until the probe is good
		w.answer(true)
		pass(time.Minute)
		w.mustAnnounce(t, "10.96.0.97/32 10.96.0.98/32")
	})
}

func TestWhatIsAnnouncedIsRememberedAtMostEveryTenSeconds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.start(t)
		pass(time.Minute)
		_, before := w.kept()
		for i := range 100 {
			names := "a"
			if i%2 == 0 {
				names = "a b"
			}
			w.change(func(s *snapshot.Snapshot) { s.Services, s.Slices = servicesOf(names) })
			pass(200 * time.Millisecond)
		}
		if _, times := w.kept(); times-before < 2 || times-before > 3 {
			t.Errorf("20 seconds of changes were written %d times", times-before)
		}
		pass(time.Minute)
		kept, before := w.kept()
		if !slices.Contains(kept, netip.MustParsePrefix("10.96.0.97/32")) || len(kept) != 2 {
			t.Errorf("remembered is %v", kept)
		}
		pass(time.Hour)
		if _, times := w.kept(); times != before {
			t.Errorf("what did not change was written %d times", times-before)
		}
	})
}

func TestWhatCouldNotBeRememberedIsTriedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.diskFull = true
		w.advertise(32)
		w.start(t)
		pass(time.Minute)
		if kept, times := w.kept(); len(kept) > 0 || times < 2 || times > 7 {
			t.Errorf("in a minute it was tried %d times, and %v is remembered", times, kept)
		}
		w.mu.Lock()
		w.diskFull = false
		w.mu.Unlock()
		pass(time.Minute)
		kept, times := w.kept()
		if len(kept) == 0 {
			t.Error("nothing is remembered, and there is room again")
		}
		pass(time.Hour)
		if _, later := w.kept(); later != times {
			t.Errorf("what did not change was written %d times", later-times)
		}
	})
}

func TestAKubeProxyThatDoesNotKnowThePodsMattersForClusterIPs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.answers.PodsUnknown = true
		w.start(t)
		pass(time.Second)
		if said := problems(w); !strings.Contains(said, "Node node-1  PodsUnknownToProxy: kube-proxy on this node does not know") {
			t.Errorf("the report says %s", said)
		}
		w.change(func(s *snapshot.Snapshot) { s.Advertisements = nil })
		pass(time.Second)
		if said := problems(w); strings.Contains(said, reasonPodsUnknown) {
			t.Errorf("where no ClusterIP is announced the report says %s", said)
		}
		w.mu.Lock()
		asked := w.asked.KubeProxy
		w.mu.Unlock()
		if asked {
			t.Error("kube-proxy is asked although no ClusterIP is announced")
		}
	})
}

// On a node that starts hundreds of healthCheckNodePorts turn within seconds.
func TestAnswersThatChangeNothingAreReportedAtMostOnceASecond(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.advertise(32)
		w.serve("A B")
		w.start(t)
		w.setSession("Established", true)
		pass(time.Minute)
		before := w.reports
		for i := range 200 {
			w.answer(true, 31000+uint16(i))
			pass(10 * time.Millisecond)
		}
		if n := w.reports - before; n < 2 || n > 4 { // one in five seconds comes anyhow
			t.Errorf("two seconds of answers made %d reports", n)
		}
		w.answer(true, 30065)
		pass(time.Millisecond)
		w.mustAnnounce(t, "203.0.113.65/32")
		if got := w.services(); got != "1 map[HealthCheckNodePort:1]" {
			t.Errorf("what an answer opens is reported late: the report counts %s", got)
		}
	})
}
