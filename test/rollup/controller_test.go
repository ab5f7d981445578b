package rollup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/test/lab"
)

const configuration = `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: all}
spec: {localASN: 64512}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: router}
spec: {address: 192.0.2.1, asn: 65001}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata: {name: default}
spec: {podCIDRs: {}}
`

const allWell = `speaker 2/2 Accepted, Programmed
router 2/2 not [] Accepted, Programmed
advertised 2 Accepted, Programmed`

// TestControllerSumsUp goes through the life of a small cluster with one controller.
func TestControllerSumsUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.addNodes("node-a", "node-b")
	r.apply(configuration)
	p := r.start("one")
	p.eventually("leads", leads)
	r.eventually(`speaker 0/2 Accepted, not Programmed: Pending
router 0/2 not [node-a node-b] Accepted, not Programmed: Pending
advertised 0 Accepted, not Programmed: Pending`, r.status)

	r.report("node-a", v1alpha1.SessionEstablished)
	r.report("node-b", v1alpha1.SessionActive)
	r.report("no-such-node", v1alpha1.SessionEstablished)
	r.eventually(`speaker 2/2 Accepted, Programmed
router 1/2 not [node-b] Accepted, not Programmed: SessionsDown
advertised 2 Accepted, Programmed`, r.status)

	r.report("node-b", v1alpha1.SessionEstablished)
	r.eventually(allWell, r.status)

	t.Run("and writes nothing while nothing changes", func(t *testing.T) {
		before := p.Report().Writes
		r.report("node-b", v1alpha1.SessionEstablished) // says the same again
		err := lab.Stays(t.Context(), 5*time.Second, func() error {
			if now := p.Report().Writes; now != before {
				return fmt.Errorf("%d writes without a reason", now-before)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("and tells what an agent complains of", func(t *testing.T) {
		r.report("node-b", v1alpha1.SessionActive, v1alpha1.Problem{
			Kind: v1alpha1.KindBGPPeer, Name: "router", Reason: v1alpha1.ReasonPasswordUnavailable, Message: "Secret tor does not exist",
		})
		r.eventually(`speaker 2/2 Accepted, Programmed
router 1/2 not [node-b] not Accepted: PasswordUnavailable, not Programmed: NotAccepted
advertised 2 Accepted, Programmed`, r.status)
		r.report("node-b", v1alpha1.SessionEstablished)
		r.eventually(allWell, r.status)
	})
	t.Run("and follows a change of the spec", func(t *testing.T) {
		r.apply(strings.Replace(configuration, "asn: 65001}", "asn: 65001, bfd: {}}", 1))
		r.eventually(strings.Replace(allWell, "not [] Accepted", "not [] not Accepted: NotImplemented", 1), r.status)
		r.apply("apiVersion: bgp.fairway.dev/v1alpha1\nkind: BGPPeer\nmetadata: {name: router}\nspec: {address: 192.0.2.1, asn: 65001, addPaths: {receive: false}}\n")
		r.eventually(allWell, r.status)
	})
	t.Run("and a node that goes and one that comes", func(t *testing.T) {
		if err := r.cp.Client().CoreV1().Nodes().Delete(t.Context(), "node-b", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		r.addNodes("node-c")
		r.report("node-c", v1alpha1.SessionIdle)
		r.eventually(`speaker 2/2 Accepted, Programmed
router 1/2 not [node-c] Accepted, not Programmed: SessionsDown
advertised 2 Accepted, Programmed`, r.status)
		r.report("node-c", v1alpha1.SessionEstablished)
		r.eventually(allWell, r.status)
	})
	t.Run("and repairs what somebody else has written", func(t *testing.T) {
		patch := []byte(`{"status": {"sessionsExpected": 99, "notEstablishedNodes": ["nobody"]}}`)
		if _, err := r.ours.BGPPeers().Patch(t.Context(), "router", types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
		r.eventually(allWell, r.status)
	})
	t.Run("and works on after the API server was away", func(t *testing.T) {
		r.cp.StopAPIServer()
		p.eventually("notices", func(c *report.Controller) bool { return c.Source.Error != "" || !c.Leading })
		r.cp.StartAPIServer()
		r.report("node-c", v1alpha1.SessionIdle)
		r.eventually(`speaker 2/2 Accepted, Programmed
router 1/2 not [node-c] Accepted, not Programmed: SessionsDown
advertised 2 Accepted, Programmed`, r.status)
		// Reading, writing and the lease each say so at most once.
		if n := strings.Count(p.log.String(), "cannot be reached"); n == 0 || n > 3 {
			t.Errorf("the log tells of one outage %d times:\n%s", n, p.log)
		}
	})
}

// TestOfTwoControllersOneLeads stops the leader in an orderly way, and then cuts off the
// next from the API server.
func TestOfTwoControllersOneLeads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.addNodes("node-a", "node-b")
	r.apply(configuration)
	one := r.start("one")
	one.eventually("leads", leads)
	two := r.start("two")
	two.eventually("follows", two.follows("one"))
	r.report("node-a", v1alpha1.SessionEstablished)
	r.report("node-b", v1alpha1.SessionEstablished)
	r.eventually(allWell, r.status)
	if writes := two.Report().Writes; writes != 0 {
		t.Errorf("the one that follows has written %d times", writes)
	}

	// One that stops gives the lease up, which is much quicker than to let it run out.
	one.stop()
	stopped := time.Now()
	two.eventually("leads", leads)
	if took := time.Since(stopped); took > 10*time.Second {
		t.Errorf("the lease was not given up: it took %v until the other led", took)
	}
	r.report("node-b", v1alpha1.SessionIdle)
	r.eventually(strings.Replace(allWell, "2/2 not [] Accepted, Programmed", "1/2 not [node-b] Accepted, not Programmed: SessionsDown", 1), r.status)

	// One that is cut off stops leading before another begins to.
	three := r.start("three")
	three.eventually("follows", three.follows("two"))
	two.uplink.cut()
	three.eventually("leads", func(c *report.Controller) bool {
		if c.Leading && two.Report().Leading {
			t.Fatal("two lead at once")
		}
		return leads(c)
	})
	r.report("node-b", v1alpha1.SessionEstablished)
	r.eventually(allWell, r.status)
	two.uplink.mend()
	two.eventually("follows", two.follows("three"))
}

// TestControllerWithoutRightsSaysSoOnce runs one as a user who may do nothing.
func TestControllerWithoutRightsSaysSoOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody, namespace: " + namespace + "}\n")
	p := r.startAs("nobody", "nobody")
	p.eventually("tries three times", func(*report.Controller) bool { return p.leases.Load() >= 4 })
	const complaint = "the lease cannot be used"
	if text := p.log.String(); strings.Count(text, complaint) != 1 || !strings.Contains(text, "leases/fairway-controller is forbidden") {
		t.Errorf("the log tells of it %d times:\n%s", strings.Count(text, complaint), text)
	}
}
