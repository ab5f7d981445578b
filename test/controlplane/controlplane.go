package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/test/controlplane/binaries"
)

// startTimeout is how long a control plane may take to become ready. It takes
// about three seconds on an idle machine; the rest is for busy ones.
const startTimeout = 2 * time.Minute

// Options say how a control plane differs from the usual one. The zero value
// listens on loopback.
type Options struct {
	// ListenAddress is where kube-apiserver listens, 127.0.0.1 by default. An
	// address that is not loopback is also what Pods find as the kubernetes Service.
	ListenAddress netip.Addr
	// Port is kube-apiserver's port; 0 chooses a free one.
	Port uint16
	// Exec makes the command that runs a program, exec.Command by default. It may
	// put the program into a network namespace, as with nsenter --net=FILE, but
	// not into another mount namespace that hides the folder for temporary files.
	Exec func(name string, args ...string) *exec.Cmd
	// Dial reaches kube-apiserver from the test process where Exec put the server
	// out of its reach. Kubeconfig files do not know of it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ServiceCIDR is "10.96.0.0/16,fd00:10:96::/112" by default.
	ServiceCIDR string
	// Data is a folder that Save has written: the objects to begin with. It stays as it is.
	Data string
	// APIServerFlags are added after the usual flags, and win over them.
	APIServerFlags []string
}

// ControlPlane is a running etcd and kube-apiserver. Its methods may be used
// from several goroutines, but those that stop and start only from one at a time
// and, where they end the test when something is wrong, only from the test's own.
// After Open there is no test: then only those that return errors may be called.
type ControlPlane struct {
	tb      testing.TB // nil after Open
	opts    Options
	dir     *workDir
	pki     *authority
	address netip.AddrPort
	config  *rest.Config
	client  kubernetes.Interface
	objects *objects
	admin   string
	took    time.Duration

	etcdBinary      string
	apiserverBinary string
	etcd            *process
	apiserver       *process // nil while stopped on purpose
}

// ErrUnavailable is wrapped by errors that say that this machine, as it is, cannot
// run a control plane. The message says what to do.
var ErrUnavailable = errors.New("not possible on this machine")

// Open starts a control plane for a program that is no test. It lives until Close,
// or until this process ends. ctx bounds the start.
func Open(ctx context.Context, opts Options) (*ControlPlane, error) {
	etcd, err := findEtcd()
	if err != nil {
		return nil, err
	}
	apiserver, err := binaries.Build(ctx, "kube-apiserver", os.Stderr)
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{opts: opts.withDefaults(), etcdBinary: etcd, apiserverBinary: apiserver}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := cp.startTimed(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the control plane: %w", err), cp.Close())
	}
	return cp, nil
}

// Start starts a control plane that lives until the test ends, and returns when
// it answers and its first namespaces exist. The test is skipped where etcd is
// not installed, unless CI or FAIRWAY_REQUIRE_ROOT=1 is set: then it fails.
func Start(tb testing.TB, opts Options) *ControlPlane {
	tb.Helper()
	etcd := requireEtcd(tb)
	apiserver, err := binaries.Build(context.Background(), "kube-apiserver", os.Stderr)
	if err != nil {
		tb.Fatal(err)
	}
	cp := &ControlPlane{tb: tb, opts: opts.withDefaults(), etcdBinary: etcd, apiserverBinary: apiserver}
	tb.Cleanup(cp.stop)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := cp.startTimed(ctx); err != nil {
		tb.Fatalf("starting the control plane: %v", err)
	}
	tb.Logf("control plane at %s ready in %.1f s", cp.config.Host, cp.took.Seconds())
	return cp
}

// Kubeconfig is the path of a kubeconfig file that may do everything.
func (cp *ControlPlane) Kubeconfig() string { return cp.admin }

// RESTConfig is a client configuration that may do everything, without a limit
// on the rate of requests. The caller may change it.
func (cp *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(cp.config) }

// Client may do everything.
func (cp *ControlPlane) Client() kubernetes.Interface { return cp.client }

// Address is where kube-apiserver listens.
func (cp *ControlPlane) Address() netip.AddrPort { return cp.address }

// ReadyAfter is how long the start took.
func (cp *ControlPlane) ReadyAfter() time.Duration { return cp.took }

// StopAPIServer kills kube-apiserver, as an outage does, and returns when its
// port is free. etcd, and with it every object, stays.
func (cp *ControlPlane) StopAPIServer() {
	cp.tb.Helper()
	if err := cp.Halt(); err != nil {
		cp.tb.Fatal(err)
	}
}

// Halt is StopAPIServer with an error in place of a failed test.
func (cp *ControlPlane) Halt() error {
	if cp.apiserver == nil {
		return errors.New("stopping kube-apiserver: it is stopped already")
	}
	if err := cp.apiserver.kill(); err != nil {
		return err
	}
	cp.apiserver = nil
	return nil
}

// StartAPIServer starts kube-apiserver again after StopAPIServer, at the same
// address and with the same certificates, and returns when it is ready.
func (cp *ControlPlane) StartAPIServer() {
	cp.tb.Helper()
	if err := cp.Resume(context.Background()); err != nil {
		cp.tb.Fatal(err)
	}
}

// Resume is StartAPIServer with an error in place of a failed test.
func (cp *ControlPlane) Resume(ctx context.Context) error {
	if cp.apiserver != nil {
		return errors.New("starting kube-apiserver: it is running")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return cp.startAPIServer(ctx)
}

// Save writes all objects to the folder dir, which is made, for Options.Data of later
// control planes. Both programs are stopped for it, and started again.
func (cp *ControlPlane) Save(ctx context.Context, dir string) error {
	if err := cp.Halt(); err != nil {
		return err
	}
	if err := cp.etcd.kill(); err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(cp.data())); err != nil {
		return fmt.Errorf("saving what etcd holds: %w", err)
	}
	if err := cp.startEtcd(ctx); err != nil {
		return err
	}
	return cp.Resume(ctx)
}

// data is the folder that etcd writes to.
func (cp *ControlPlane) data() string { return filepath.Join(cp.dir.path, "etcd") }

// Close ends both programs and removes what they have written. An error says so
// when one of them had ended before.
func (cp *ControlPlane) Close() error {
	errs := cp.end()
	if cp.dir != nil {
		errs = append(errs, cp.dir.remove())
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if !o.ListenAddress.IsValid() {
		o.ListenAddress = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if o.Exec == nil {
		o.Exec = exec.Command
	}
	o.ServiceCIDR = cmp.Or(o.ServiceCIDR, "10.96.0.0/16,fd00:10:96::/112")
	return o
}

func (cp *ControlPlane) startTimed(ctx context.Context) error {
	begun := time.Now()
	err := cp.start(ctx)
	cp.took = time.Since(begun)
	return err
}

func (cp *ControlPlane) start(ctx context.Context) error {
	var err error
	if cp.dir, err = newWorkDir(os.TempDir()); err != nil {
		return err
	}
	if cp.pki, err = newAuthority(cp.dir.path, cp.opts.ListenAddress); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	if cp.opts.Data != "" {
		if err := os.CopyFS(cp.data(), os.DirFS(cp.opts.Data)); err != nil {
			return fmt.Errorf("taking over what etcd held: %w", err)
		}
	}
	if err := cp.startEtcd(ctx); err != nil {
		return err
	}
	if cp.opts.Port != 0 {
		return cp.startAt(ctx, cp.opts.Port)
	}
	return cp.startOnFreePort(ctx)
}

// startOnFreePort tries again where a port that looked free was not: another
// process was faster, or it is taken in the namespace that Exec enters.
func (cp *ControlPlane) startOnFreePort(ctx context.Context) error {
	const tries = 5
	for try := 1; ; try++ {
		port, err := freePort(cp.opts.ListenAddress)
		if err != nil {
			return err
		}
		err = cp.startAt(ctx, port)
		if err == nil || try == tries || !errors.Is(err, errAddressInUse) {
			return err
		}
	}
}

func (cp *ControlPlane) startAt(ctx context.Context, port uint16) error {
	cp.address = netip.AddrPortFrom(cp.opts.ListenAddress, port)
	if err := cp.makeClients(); err != nil {
		return err
	}
	return cp.startAPIServer(ctx)
}

// stop ends what runs, and shows the logs of a failed test.
func (cp *ControlPlane) stop() {
	for _, err := range cp.end() {
		cp.tb.Error(err)
	}
	if cp.dir == nil {
		return
	}
	if cp.tb.Failed() {
		for _, name := range []string{"etcd.log", "kube-apiserver.log"} {
			cp.tb.Logf("the end of %s:\n%s", name, tailOf(filepath.Join(cp.dir.path, name), 40))
		}
	}
	if err := cp.dir.remove(); err != nil {
		cp.tb.Errorf("%v", err)
	}
}

// end kills what runs, and tells what had ended by itself.
func (cp *ControlPlane) end() []error {
	var errs []error
	for _, p := range []*process{cp.apiserver, cp.etcd} {
		if p == nil {
			continue
		}
		if ended, err := p.ended(); ended {
			errs = append(errs, fmt.Errorf("%s ended by itself (%s):\n%s", p.name, fmt.Sprint(err), p.tail(20)))
		}
		if err := p.kill(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
