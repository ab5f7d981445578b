package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/test/namespace"
)

// poll is the pause between two looks at something that is about to happen.
const poll = 20 * time.Millisecond

var errAddressInUse = errors.New("address in use")

// requireEtcd returns the path of etcd, or ends the test.
func requireEtcd(tb testing.TB) string {
	tb.Helper()
	path, err := findEtcd()
	if err == nil {
		return path
	}
	namespace.Unavailable(tb, err.Error())
	return ""
}

func findEtcd() (string, error) {
	path, err := exec.LookPath("etcd")
	if err != nil {
		return "", fmt.Errorf("%w: etcd is not on PATH: apt-get install --no-install-recommends etcd-server", ErrUnavailable)
	}
	return path, nil
}

// startEtcd starts etcd on Unix sockets in the work folder: no port to be taken
// by somebody else, nobody else who can connect, and reachable from any network
// namespace. It returns when the socket answers.
func (cp *ControlPlane) startEtcd(ctx context.Context) error {
	// etcd 3.4 takes no path in a URL, only HOST:PORT, which it uses as a file
	// name relative to its working directory.
	const client, peer = "unix://client:0", "unix://peer:0"
	for _, left := range []string{"client:0", "peer:0"} { // by one that was killed
		if err := os.Remove(filepath.Join(cp.dir.path, left)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	cmd := cp.opts.Exec("env", "--chdir="+cp.dir.path, cp.etcdBinary,
		"--name=default",
		"--data-dir="+cp.data(),
		"--unsafe-no-fsync", // a test's data need not survive the machine
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer,
		"--initial-cluster=default="+peer,
		"--logger=zap", "--log-level=warn",
	)
	cmd.Env = etcdEnvironment(cmd.Environ())
	var err error
	if cp.etcd, err = startProcess("etcd", cmd, cp.dir.path); err != nil {
		return err
	}
	return cp.etcd.waitUntil(ctx, "accepts connections", func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", cp.etcdSocket())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (cp *ControlPlane) etcdSocket() string { return filepath.Join(cp.dir.path, "client:0") }

// etcdEnvironment drops what would change etcd's flags, and lets etcd 3.4 run on
// more than amd64, which it otherwise refuses.
func etcdEnvironment(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "ETCD_") {
			kept = append(kept, entry)
		}
	}
	if runtime.GOARCH != "amd64" {
		kept = append(kept, "ETCD_UNSUPPORTED_ARCH="+runtime.GOARCH)
	}
	return kept
}

// startAPIServer starts kube-apiserver at cp.address and returns when it is
// ready for everything a test does first.
func (cp *ControlPlane) startAPIServer(ctx context.Context) error {
	p, err := startProcess("kube-apiserver", cp.opts.Exec(cp.apiserverBinary, cp.apiserverFlags()...), cp.dir.path)
	if err != nil {
		return err
	}
	if err := p.waitUntil(ctx, "is ready", cp.ready); err != nil {
		if strings.Contains(p.tail(30), syscall.EADDRINUSE.Error()) {
			err = fmt.Errorf("%w: %w", errAddressInUse, err)
		}
		return errors.Join(err, p.kill())
	}
	cp.apiserver = p
	return nil
}

func (cp *ControlPlane) apiserverFlags() []string {
	file := func(name string) string { return filepath.Join(cp.dir.path, name) }
	flags := []string{
		"--etcd-servers=unix://" + cp.etcdSocket(),
		"--bind-address=" + cp.address.Addr().String(),
		fmt.Sprintf("--secure-port=%d", cp.address.Port()),
		"--advertise-address=" + cp.address.Addr().String(),
		"--service-cluster-ip-range=" + cp.opts.ServiceCIDR,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--client-ca-file=" + file(caFile),
		"--tls-cert-file=" + file(serverCertFile),
		"--tls-private-key-file=" + file(serverKeyFile),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + file(serverKeyFile),
		"--service-account-signing-key-file=" + file(serverKeyFile),
		"--cert-dir=" + file("generated"),
	}
	if cp.address.Addr().IsLoopback() {
		// An endpoint may not be a loopback address: writing it would fail forever.
		flags = append(flags, "--endpoint-reconciler-type=none")
	}
	return append(flags, cp.opts.APIServerFlags...)
}

// ready says what is still missing. /readyz alone is not enough: the first
// namespaces and the ranges that Services are given addresses from appear later.
func (cp *ControlPlane) ready(ctx context.Context) error {
	if err := cp.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return err
	}
	for _, name := range []string{"default", "kube-system"} {
		if _, err := cp.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
	}
	ranges, err := cp.client.NetworkingV1().ServiceCIDRs().Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !meta.IsStatusConditionTrue(ranges.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
		return errors.New("the ServiceCIDR kubernetes is not Ready")
	}
	return nil
}

// waitUntil calls check until it returns nil. It gives up when the program ends
// or the time is over, and then says why in the program's own words.
func (p *process) waitUntil(ctx context.Context, what string, check func(context.Context) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		last := check(attempt)
		cancel()
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%w) before it %s; its last words:\n%s", p.name, p.err, what, p.tail(20))
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s %s: %w (last: %w); its last words:\n%s", p.name, what, ctx.Err(), last, p.tail(20))
		case <-time.After(poll):
		}
	}
}

// freePort chooses a port below those that Linux gives to outgoing connections,
// so that none of them takes it while the server is stopped.
func freePort(addr netip.Addr) (uint16, error) {
	const lowest, count, tries = 20000, 12000, 50
	var last error
	for range tries {
		port := uint16(lowest + rand.IntN(count))
		listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, port).String())
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			return port, nil // the address exists only where Exec leads
		}
		if err == nil {
			return port, listener.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("finding a free port on %s: %w", addr, last)
}
