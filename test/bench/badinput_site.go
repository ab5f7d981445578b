package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/test/lab"
)

// badSite is one node with an honest router, and next to it a host from which bad peers speak,
// each from an address of its own.
//
//	client .1 ---(203.0.113.0/24)--- .2 honest .1 ---(192.0.2.0/24)--- .2 node .2 ---(198.51.100.0/24)--- bad .1, .11, .12 ...
//	                                                                   pod 10.244.1.10
type badSite struct {
	lab    *lab.Lab
	client *lab.Host
	honest *lab.FRR
	node   *lab.Node
	pod    *lab.Host
	bad    *lab.Host
	said   *narrator

	binary   string
	folder   string // of the manifests
	stateDir string // of the agent that runs
	agent    *agent
	runs     int
	patience time.Duration // for what is merely waited for
}

const (
	badASN  = 65002
	badNode = "192.0.2.2"
	badFile = "bad.yaml"
	// flowPace is that of both flows: no shorter outage is seen.
	flowPace = 20 * time.Millisecond
)

// badSpeaker is where the bad peers find the speaker.
const badSpeaker = "198.51.100.2:179"

const honestConfig = `router bgp 65001
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 neighbor 192.0.2.2 remote-as 64512
 neighbor 192.0.2.2 timers 3 9
 neighbor 192.0.2.2 timers connect 1
 address-family ipv4 unicast
  network 203.0.113.0/24
 exit-address-family
`

// badConfiguration is what a user would write for this, the bad peers aside.
const badConfiguration = `
apiVersion: v1
kind: Node
metadata: {name: node-0}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 192.0.2.3}]}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec:
  localASN: 64512
  topology: {type: None}
  cluster: {podCIDRs: [10.244.0.0/16], serviceCIDRs: [10.96.0.0/16]}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: honest}
spec:
  address: 192.0.2.1
  asn: 65001
  families: [IPv4Unicast]
  timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}
  import: {allow: [{prefix: 203.0.113.0/24}]}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata: {name: default}
spec: {podCIDRs: {}}
`

// raiseBad builds the agent and the network, with addresses for so many bad peers. The honest router runs.
func raiseBad(ctx context.Context, dir string, peers int, said *narrator) (_ *badSite, err error) {
	s := &badSite{said: said, folder: filepath.Join(dir, "manifests"), patience: 10 * time.Second}
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return nil, fmt.Errorf("making a folder for manifests: %w", err)
	}
	if s.binary, err = lab.Build(ctx); err != nil {
		return nil, err
	}
	if s.lab, err = lab.Start(ctx, lab.Options{Dir: dir}); err != nil {
		return nil, err
	}
	s.client, s.node, s.bad = s.lab.Host("client"), s.lab.Node("node"), s.lab.Host("bad")
	s.honest = s.lab.FRR("honest", honestConfig)
	s.lab.Link(s.client, s.honest, "203.0.113.0/24")
	s.client.Default("203.0.113.2")
	s.lab.Link(s.honest, s.node, "192.0.2.0/24")
	wire := s.lab.Link(s.bad, s.node, "198.51.100.0/24")
	for i := range peers {
		s.bad.AddAddress(wire.A.Interface, badAddress(i).String()+"/24")
	}
	s.pod = s.node.Pod("10.244.1.10/24")
	if err = s.lab.Up(ctx); err == nil {
		err = s.write("cluster.yaml", badConfiguration)
	}
	if err != nil {
		return nil, errors.Join(err, s.lab.Close())
	}
	return s, nil
}

func (s *badSite) logs() string { return s.lab.Logs(20) }

func (s *badSite) close() error { return s.lab.Close() }

// badAddress is the address of a bad peer.
func badAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(11 + i)}) }

// write puts a manifest in place as an editor does: at once.
func (s *badSite) write(name, text string) error {
	part := filepath.Join(s.folder, "."+name)
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing a manifest: %w", err)
	}
	return os.Rename(part, filepath.Join(s.folder, name))
}

// start starts an agent that remembers nothing, in place of the one that runs, and waits until
// the honest session is up and its route in use. A crash before our End-of-RIB would have the honest router
// drop what it keeps of the agent before (RFC 4724, section 4.2).
func (s *badSite) start(ctx context.Context) error {
	if s.agent != nil {
		if err := s.agent.Stop(ctx); err != nil {
			return err
		}
	}
	before, err := s.honestSession(ctx)
	if err != nil {
		return err
	}
	s.runs++
	name := "agent-" + strconv.Itoa(s.runs)
	s.stateDir = filepath.Join(s.node.Dir(), name)
	p, err := s.node.Start(ctx, name, s.binary, "agent", "--source=dir:"+s.folder, "--node-name="+nodeName, "--state-dir="+s.stateDir)
	if err != nil {
		return err
	}
	s.agent = &agent{Process: p}
	return s.eventually(ctx, func() error {
		if s.agent.child = s.child(); s.agent.child == 0 {
			return errors.New("the agent's parent has no child")
		}
		now, err := s.honestSession(ctx)
		if err != nil || now.Ups == before.Ups || !now.Up() || !now.Restart.EndOfRIB.IPv4 {
			return errors.Join(err, errors.New("the session of the honest router is not up, or lacks End-of-RIB"))
		}
		return s.reaches(ctx)
	})
}

// child is the pid of the agent proper; 0: there is none at the moment.
func (s *badSite) child() int {
	if children := s.agent.Children(); len(children) == 1 {
		return children[0]
	}
	return 0
}

// reaches reports an error unless both flows would run.
func (s *badSite) reaches(ctx context.Context) error {
	return errors.Join(s.client.Ping(ctx, s.pod.IPv4()), s.pod.Ping(ctx, s.client.IPv4()))
}

// honestSession is what the honest router says of its session with the node.
func (s *badSite) honestSession(ctx context.Context) (lab.Session, error) {
	return s.honest.Session(ctx, badNode)
}

// status reads what the agent says of its node.
func (s *badSite) status() (state v1alpha1.BGPNodeState, err error) {
	text, err := os.ReadFile(filepath.Join(s.stateDir, "status", "BGPNodeState_"+nodeName+".yaml"))
	if err != nil {
		return state, fmt.Errorf("reading the status: %w", err)
	}
	if err := yaml.Unmarshal(text, &state); err != nil {
		return state, fmt.Errorf("reading the status: %w", err)
	}
	return state, nil
}

// wordsOf is what a BGPNodeState says of a peer: its session, how much it has told, and problems.
func wordsOf(state v1alpha1.BGPNodeState, peer string) string {
	var words []string
	for _, s := range state.Status.Sessions {
		if s.Peer != peer {
			continue
		}
		words = append(words, strings.TrimSuffix(string(s.State)+": "+s.LastError, ": "))
		for _, f := range s.Families {
			if f.Received > 0 {
				words = append(words, fmt.Sprintf("%d received, %d accepted", f.Received, f.Accepted))
			}
		}
	}
	for _, p := range state.Status.Problems {
		if p.Kind == v1alpha1.KindBGPPeer && p.Name == peer {
			words = append(words, p.Reason+": "+p.Message)
		}
	}
	return strings.Join(words, "; ")
}

// says waits until the status says so of a peer.
func (s *badSite) says(ctx context.Context, peer, want string) error {
	return s.eventually(ctx, func() error { return s.saysNow(peer, want) })
}

func (s *badSite) saysNow(peer, want string) error {
	state, err := s.status()
	if err != nil {
		return err
	}
	if words := wordsOf(state, peer); !strings.Contains(words, want) {
		return fmt.Errorf("%s: the status says %q, not %q", peer, words, want)
	}
	return nil
}

func (s *badSite) eventually(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	return lab.Until(ctx, check)
}

// refuses waits until the status says that the node refuses so many prefixes for this reason.
func (s *badSite) refuses(ctx context.Context, reason string, want int) error {
	return s.eventually(ctx, func() error {
		state, err := s.status()
		if err != nil {
			return err
		}
		if got := refusedFor(state, reason); got != want {
			return fmt.Errorf("the status says that %d prefixes are refused, not %d: %s", got, want, reason)
		}
		return nil
	})
}

func refusedFor(state v1alpha1.BGPNodeState, reason string) int {
	for _, r := range state.Status.Routes.Refused {
		if r.Reason == reason {
			return int(r.Count)
		}
	}
	return 0
}

// dial connects as the i-th of the bad peers.
func (s *badSite) dial(ctx context.Context, i int) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(badAddress(i), 0))}
	entered := s.bad.Inside(func() error {
		conn, err = dialer.DialContext(ctx, "tcp", badSpeaker)
		return err
	})
	return conn, entered
}

// flows are the traffic through the honest router, one each way.
type flows []*lab.Flow

// traffic starts it, and returns when both flows run.
func (s *badSite) traffic(ctx context.Context) (flows, error) {
	in, err := s.client.Flow(ctx, s.pod.IPv4(), flowPace)
	if err != nil {
		return nil, err
	}
	out, err := s.pod.Flow(ctx, s.client.IPv4(), flowPace)
	return flows{in, out}, err
}

// stop returns how many packets were sent and lost.
func (f flows) stop(ctx context.Context) (sent, lost int, err error) {
	for _, flow := range f {
		report, bad := flow.Stop(ctx)
		sent, lost, err = sent+report.Sent, lost+report.Lost, errors.Join(err, bad)
	}
	return sent, lost, err
}
