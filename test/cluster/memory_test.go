package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// A peer that is configured and was never up does not keep routes of an earlier process in
// the kernel, as long as it is known that it was not.
func TestAStartWaitsForTheSessionsThatWereUpBefore(t *testing.T) {
	r, n, dir, start := dirRig(t)
	memory := filepath.Join(n.Dir(), "state", "sessions.json")
	const stale = "10.244.77.0/24"
	restart := func() {
		t.Helper()
		if err := n.agent.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := n.run("sh", "-c", "ip route replace "+stale+" via 192.0.2.1 dev lan proto 219 metric 2048"); err != nil {
			t.Fatal(err)
		}
	}
	gone := func() error { return hasRoute(t.Context(), n.Host, stale) }

	write(t, dir, "router.yaml", peerManifest)
	start()
	r.eventually(func() error { return n.metric("fairway_picture_complete 1") })
	write(t, dir, "away.yaml", strings.NewReplacer("name: router", "name: away", "192.0.2.1,", "192.0.2.9,").Replace(peerManifest))
	r.eventually(func() error { return n.metric(`fairway_session_up{address="192.0.2.9",peer="away"} 0`) })

	restart()
	start()
	r.eventually(gone)
	if text, err := os.ReadFile(memory); err != nil || !strings.Contains(string(text), `"kept":["router/192.0.2.1"]`) {
		t.Errorf("%s: %v", text, err)
	}

	t.Log("not known: the peer that is away may have been up")
	restart()
	if err := os.Remove(memory); err != nil {
		t.Fatal(err)
	}
	start()
	r.eventually(func() error { return n.established(1) })
	if err := lab.Stays(t.Context(), 8*time.Second, func() error { return hasRoute(t.Context(), n.Host, stale, r.router.IPv4()) }); err != nil {
		t.Errorf("the route of an earlier process went: %v", err)
	}
}
