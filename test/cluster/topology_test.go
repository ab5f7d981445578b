package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// meshRig is four nodes of one subnet with a pod each, of which the last two are labelled as
// reflectors. Their agents read one folder.
type meshRig struct {
	*rig
	dir  string
	pods []*lab.Host
}

const reflectors = 2

func newMeshRig(t *testing.T) *meshRig {
	t.Helper()
	r := &rig{Lab: lab.New(t), t: t}
	m := &meshRig{rig: r, dir: t.TempDir()}
	lan := r.Switch("lan")
	for i := 1; i <= 4; i++ {
		n := &node{Node: r.Node(fmt.Sprintf("node-%d", i)), rig: r, index: i}
		lan.Attach(n, fmt.Sprintf("192.0.2.1%d/24", i))
		r.nodes = append(r.nodes, n)
		m.pods = append(m.pods, n.Pod(fmt.Sprintf("10.244.%d.2/24", i)))
	}
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range r.nodes {
		role := "worker"
		if m.reflects(n) {
			role = "reflector"
		}
		write(t, m.dir, n.Name()+".yaml", fmt.Sprintf(
			"apiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {role: %s}}\nspec: {podCIDRs: [%s]}\nstatus: {addresses: [{type: InternalIP, address: %s}]}\n",
			n.Name(), role, n.pods(4), n.IPv4()))
	}
	return m
}

func (m *meshRig) reflects(n *node) bool { return n.index > len(m.nodes)-reflectors }

func (m *meshRig) startAgents(nodes ...*node) {
	for _, n := range nodes {
		n.start("--source=dir:"+m.dir, "--node-name="+n.Name(), "--state-dir="+n.Dir()+"/state")
	}
}

// topology writes the BGPSpeaker.
func (m *meshRig) topology(kind string) {
	m.t.Helper()
	write(m.t, m.dir, "speaker.yaml", fairwayObject("BGPSpeaker", "default", "",
		"localASN: 64512, cluster: {podCIDRs: [10.244.0.0/16]}, topology: {type: "+kind+", reflectors: {matchLabels: {role: reflector}}}"))
}

// settled waits until every node has the sessions of a topology, has End-of-RIB on each, and
// has been told by the other end what that is to tell.
func (m *meshRig) settled(kind string) {
	m.t.Helper()
	for _, n := range m.nodes {
		m.eventually(func() error { return m.nodeSettled(n, kind) })
	}
}

func (m *meshRig) nodeSettled(n *node, kind string) error {
	sessions, err := n.sessions()
	if err != nil {
		return err
	}
	for _, other := range m.nodes {
		if other == n {
			continue
		}
		s, have := sessions[other.IPv4()]
		wanted := kind != "RouteReflectors" || m.reflects(n) || m.reflects(other)
		switch {
		case have != wanted:
			return fmt.Errorf("%s: a session with %s: %v, want %v", n.Name(), other.Name(), have, wanted)
		case have && !s.endOfRIB:
			return fmt.Errorf("%s has no End-of-RIB of %s", n.Name(), other.Name())
		case have:
			if err := m.told(n, other, kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// told reports an error unless a node has from another one exactly what the topology says.
func (m *meshRig) told(n, by *node, kind string) error {
	out, err := n.run("gobgp", "-j", "neighbor", by.IPv4().String(), "adj-in")
	if err != nil {
		return err
	}
	for _, of := range m.nodes {
		passesOn := kind != "FullMesh" && m.reflects(by) && (!m.reflects(n) || !m.reflects(of))
		want := of == by || of != n && passesOn
		if have := strings.Contains(out, `"`+of.pods(4)+`":[{`); have != want {
			return fmt.Errorf("%s has %s of %s: %v, want %v:\n%s", n.Name(), of.pods(4), by.Name(), have, want, out)
		}
	}
	return nil
}

// meshSession is what the gobgp client says of a session that is up.
type meshSession struct{ endOfRIB bool }

func (n *node) sessions() (map[netip.Addr]meshSession, error) {
	out, err := n.run("gobgp", "-j", "neighbor")
	if err != nil {
		return nil, err
	}
	var peers []struct {
		State struct {
			Address netip.Addr `json:"neighbor_address"`
			State   int        `json:"session_state"`
		} `json:"state"`
		Families []struct {
			Restart struct {
				State struct {
					EndOfRIB bool `json:"end_of_rib_received"`
				} `json:"state"`
			} `json:"mp_graceful_restart"`
		} `json:"afi_safis"`
	}
	if err := json.Unmarshal([]byte(out), &peers); err != nil {
		return nil, fmt.Errorf("reading what gobgp says: %w\n%s", err, out)
	}
	const established = 6
	sessions := map[netip.Addr]meshSession{}
	for _, p := range peers {
		if p.State.State == established && len(p.Families) > 0 {
			sessions[p.State.Address] = meshSession{p.Families[0].Restart.State.EndOfRIB}
		}
	}
	return sessions, nil
}

// flows send every 10 ms between pods: of two nodes that never reflect, both ways between one
// of them and a reflector, and between the reflectors.
func (m *meshRig) flows() map[string]*lab.Flow {
	m.t.Helper()
	flows := map[string]*lab.Flow{}
	for _, pair := range [][2]int{{1, 2}, {1, 3}, {4, 2}, {3, 4}} {
		from, to := m.pods[pair[0]-1], m.pods[pair[1]-1]
		flow, err := from.Flow(m.t.Context(), to.IPv4(), 10*time.Millisecond)
		if err != nil {
			m.t.Fatal(err)
		}
		flows[from.Name()+" to "+to.Name()] = flow
	}
	return flows
}

// take goes from topology to topology, each when the one before is there.
func (m *meshRig) take(kinds ...string) {
	m.t.Helper()
	for _, kind := range kinds {
		began := time.Now()
		m.topology(kind)
		m.settled(kind)
		m.t.Logf("%s after %d ms", kind, time.Since(began).Milliseconds())
	}
}

// lost ends a flow and says what it lost.
func (m *meshRig) lost(flow *lab.Flow) error {
	m.t.Helper()
	report, err := flow.Stop(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	if report.Lost > 0 {
		return fmt.Errorf("%d of %d packets were lost, for %s", report.Lost, report.Sent, report.Outage)
	}
	m.t.Logf("%d packets, none lost", report.Sent)
	return nil
}

// TestFromMeshToReflectorsAndBackLosesNothing takes the steps that docs/configuration.md
// names, each when the one before has been carried out everywhere.
func TestFromMeshToReflectorsAndBackLosesNothing(t *testing.T) {
	m := newMeshRig(t)
	m.topology("FullMesh")
	m.startAgents(m.nodes...)
	m.settled("FullMesh")
	flows := m.flows()
	m.take("FullMeshAndReflectors", "RouteReflectors", "FullMeshAndReflectors", "FullMesh")
	for name, flow := range flows {
		if err := m.lost(flow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range m.nodes {
		if log := n.log(); resetPeer.MatchString(log) {
			t.Errorf("%s has reset a session:\n%s", n.Name(), log)
		}
	}
}

// TestAReflectorThatCrashesTakesNothingWithIt has one of the two reflectors crash and come back.
func TestAReflectorThatCrashesTakesNothingWithIt(t *testing.T) {
	m := newMeshRig(t)
	m.topology("RouteReflectors")
	m.startAgents(m.nodes...)
	m.settled("RouteReflectors")
	flows := m.flows()
	client, reflector := m.nodes[0], m.nodes[2]
	if err := kill(reflector.agent.Children()[0]); err != nil {
		t.Fatal(err)
	}
	m.eventually(func() error {
		if m.nodeSettled(client, "RouteReflectors") == nil {
			return errors.New("the client has not noticed")
		}
		return nil
	})
	m.settled("RouteReflectors")
	for name, flow := range flows {
		if err := m.lost(flow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAFlowNoticesThatTheStepBetweenIsLeftOut shows the detector firing: on the straight way
// back the reflectors cease to reflect before the sessions of the mesh are up.
func TestAFlowNoticesThatTheStepBetweenIsLeftOut(t *testing.T) {
	m := newMeshRig(t)
	m.topology("FullMesh")
	m.startAgents(m.nodes...)
	m.settled("FullMesh")
	flow, err := m.pods[0].Flow(t.Context(), m.pods[1].IPv4(), 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	m.take("RouteReflectors", "FullMesh")
	if err := m.lost(flow); err == nil {
		t.Error("no packet was lost")
	} else {
		t.Log(err)
	}
}

// TestAFlowNoticesReflectorsThatAreNotThere shows the detector firing: the same flow between
// two nodes that leave the mesh while no reflector is up.
func TestAFlowNoticesReflectorsThatAreNotThere(t *testing.T) {
	m := newMeshRig(t)
	m.topology("FullMesh")
	one, two := m.nodes[0], m.nodes[1]
	m.startAgents(one, two)
	m.eventually(func() error {
		return errors.Join(hasRoute(t.Context(), one.Host, two.pods(4), two.IPv4()), hasRoute(t.Context(), two.Host, one.pods(4), one.IPv4()))
	})
	flow, err := m.pods[0].Flow(t.Context(), m.pods[1].IPv4(), 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	m.topology("RouteReflectors")
	m.eventually(func() error {
		return errors.Join(hasRoute(t.Context(), one.Host, two.pods(4)), hasRoute(t.Context(), two.Host, one.pods(4)))
	})
	m.topology("FullMesh")
	m.eventually(func() error { return one.Ping(t.Context(), m.pods[1].IPv4()) })
	if err := m.lost(flow); err == nil {
		t.Error("no packet was lost")
	} else {
		t.Log(err)
	}
}
