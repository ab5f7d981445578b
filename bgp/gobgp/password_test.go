package gobgp

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/server"

	"github.com/fairway-bgp/fairway/bgp"
)

// pairs are the passwords of both sides that must not, and must, lead to a session.
var pairs = []struct {
	name         string
	ours, theirs string
	up           bool
}{
	{"none", "", "", true},
	{"the same", "s3cret-one", "s3cret-one", true},
	{"different", "s3cret-one", "s3cret-two", false},
	{"only ours", "s3cret-one", "", false},
	{"only theirs", "", "s3cret-one", false},
}

func TestASessionComesUpOnlyWithTheSamePasswordWhenThePeerDials(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			r := newRig(t, Options{})
			p := r.peer(1)
			p.Password = bgp.Secret(pair.ours)
			r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{p}})
			fake := r.fake(1)
			fake.password = pair.theirs
			if pair.up {
				r.connect(fake)
				return
			}
			for range 3 {
				if _, err := fake.dial(); err == nil {
					t.Fatal("the session came up")
				}
			}
		})
	}
}

func TestASessionComesUpOnlyWithTheSamePasswordWhenWeDial(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			r := newRig(t, Options{})
			lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
				return setPassword(c, "127.0.0.1", pair.theirs)
			}}
			l, err := lc.Listen(context.Background(), "tcp4", "127.0.1.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p := r.peer(1)
			p.Passive = false
			p.Password = bgp.Secret(pair.ours)
			p.LocalAddress = netip.MustParseAddr("127.0.0.1")
			p.Port = uint16(l.Addr().(*net.TCPAddr).Port)
			r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{p}})

			wait := patience
			if !pair.up {
				wait = 3 * time.Second // our first attempt comes after one to two
			}
			l.(*net.TCPListener).SetDeadline(time.Now().Add(wait))
			conn, err := l.Accept()
			if err == nil {
				conn.Close()
			}
			if (err == nil) != pair.up {
				t.Errorf("connected: %t, want %t (%v)", err == nil, pair.up, err)
			}
		})
	}
}

func TestARemovedPasswordIsRemovedFromTheListener(t *testing.T) {
	for name, between := range map[string][]bgp.Peer{"changed in place": nil, "removed and added again": {}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			p := r.peer(1)
			p.Password = "s3cret-one"
			r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{p}})
			fake := r.fake(1)
			fake.password = "s3cret-one"
			r.connect(fake)
			if between != nil {
				r.apply(bgp.Desired{Config: r.config(), Peers: between})
			}
			p.Password = ""
			r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{p}})
			fake.password = ""
			r.connect(fake)
		})
	}
}

func TestASessionSaysThatItsPasswordWasChanged(t *testing.T) {
	r := newRig(t, Options{})
	p := r.peer(1)
	fake := r.fake(1)
	for i, password := range []string{"s3cret-one", "s3cret-two", ""} {
		p.Password, fake.password = bgp.Secret(password), password
		r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{p}})
		down, up := "reset by us: its password was changed", "reset by us: its password was changed"
		if i == 0 {
			down, up = waiting(p), ""
		}
		says := func(want string) func() (string, bool) {
			return func() (string, bool) {
				s := r.session("peer-1")
				return s.LastError, s.LastError == want
			}
		}
		r.eventually("the reason while it is down", says(down))
		r.connect(fake)
		r.eventually("the reason once it is up", says(up))
	}
}

func TestPasswordsAreNeverLogged(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	want.Peers[0].Password = "s3cret-one"
	want.Peers[1].Password = bgp.Secret("s3cret-" + strings.Repeat("x", 80)) // refused
	err := r.tryApply(want)
	fake := r.fake(1)
	fake.password = "s3cret-one"
	r.connect(fake)
	want.Peers[0].Password = "s3cret-two"
	r.tryApply(want)
	r.opts.Log.Info("all that is wanted", "desired", want, "view", r.view.Load().wanted)
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
	if log := r.logged.String(); strings.Contains(log, "s3cret") || !strings.Contains(log, "peer up") {
		t.Errorf("the log holds a password, or not what it should:\n%s", log)
	}
}

// mptcpChild says that this process is the twin of a test, with MPTCP listeners.
const mptcpChild = "FAIRWAY_TEST_MPTCP_CHILD"

// This is the detector: GoBGP alone, and a password on the listening side only.
func TestAPasswordOnTheListeningSideAloneKeepsTheSessionDown(t *testing.T) {
	s := server.NewBgpServer(server.LoggerOption(newLogger(discard(), newSessionLog(), nil)))
	go s.Serve()
	ctx := context.Background()
	port := freePort(t)
	if err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: ourASN, RouterId: "192.0.2.1", ListenPort: int32(port), ListenAddresses: []string{"0.0.0.0"},
	}}); err != nil {
		t.Fatal(err)
	}
	defer s.StopBgp(ctx, &api.StopBgpRequest{})
	r := &rig{t: t, port: port}
	p := r.peer(1)
	p.Password = "s3cret-one"
	if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: apiPeer(p, gracefulRestart{}, false)}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := r.fake(1).dial(); err == nil {
			t.Fatal("the session came up without its password")
		}
	}
}

// The twin shows the detector firing where Go's listeners are MPTCP sockets.
func TestTheOneSidedPasswordTestFailsWithMPTCP(t *testing.T) {
	needMPTCP(t)
	out, err := inMPTCPChild("TestAPasswordOnTheListeningSideAloneKeepsTheSessionDown")
	if err == nil || !strings.Contains(out, "the session came up without its password") {
		t.Errorf("with MPTCP the test ended with %v:\n%s", err, out)
	}
}

// Even then the speaker is safe: it refuses the peer.
func TestAPasswordThatCannotBeSetKeepsThePeerDown(t *testing.T) {
	if os.Getenv(mptcpChild) == "" {
		needMPTCP(t)
		if out, err := inMPTCPChild(t.Name()); err != nil || !strings.Contains(out, "--- PASS: "+t.Name()) {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	want.Peers[0].Password = "s3cret-one"
	for range 2 { // it is tried again, and fails again
		err := r.tryApply(want)
		if failures := peerErrors(err); len(failures) != 1 || failures[0].Peer != "peer-1" || !strings.Contains(err.Error(), "password could not be set") {
			t.Fatalf("apply returned %v", err)
		}
	}
	if s := r.session("peer-1"); s.State != bgp.Idle || !strings.Contains(s.LastError, "password could not be set") {
		t.Errorf("session %+v", s)
	}
	for range 2 {
		if _, err := r.fake(1).dial(); err == nil {
			t.Fatal("the session came up without its password")
		}
	}
	r.connect(r.fake(2))
}

func inMPTCPChild(test string) (string, error) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), "GODEBUG=multipathtcp=1", mptcpChild+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func needMPTCP(t *testing.T) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 262) // IPPROTO_MPTCP
	if err != nil {
		t.Skipf("this kernel makes no MPTCP sockets, so nothing can go wrong with them: %v", err)
	}
	syscall.Close(fd)
}
