package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/test/namespace"
)

func TestControlPlaneRunsInsideAnotherNetworkNamespace(t *testing.T) {
	requireEtcd(t)
	file := newNetworkNamespace(t)
	cp := Start(t, Options{
		ListenAddress: netip.MustParseAddr("198.51.100.1"),
		Exec: func(name string, args ...string) *exec.Cmd {
			return exec.Command("nsenter", append([]string{"--net=" + file, name}, args...)...)
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialInside(ctx, file, network, address)
		},
	})
	// Nobody else can listen at that address, as no interface outside has it.
	eventually(t, "Pods would find the server at its address", func() bool {
		slice, err := cp.Client().DiscoveryV1().EndpointSlices("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
		return err == nil && len(slice.Endpoints) == 1 && slices.Equal(slice.Endpoints[0].Addresses, []string{"198.51.100.1"})
	})
	cp.StopAPIServer()
	cp.StartAPIServer()
}

// newNetworkNamespace returns the file of a namespace that has one address,
// 198.51.100.1, and lives as long as the test.
func newNetworkNamespace(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		namespace.Unavailable(t, "making a network namespace needs root")
	}
	script := "ip address add 198.51.100.1/32 dev lo && ip link set lo up && echo ready && exec sleep 1000"
	holder, err := startProcess("holder", exec.Command("unshare", "--net", "sh", "-ec", script), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := holder.kill(); err != nil {
			t.Error(err)
		}
	})
	if err := holder.waitUntil(t.Context(), "has its namespace", func(context.Context) error {
		if last := holder.tail(1); last != "ready" {
			return errors.New(last)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/ns/net", holder.pid)
}

// dialInside makes the socket on a thread of its own that entered the namespace
// and, as it is never unlocked, ends with the goroutine.
func dialInside(ctx context.Context, file, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		var r result
		defer func() { results <- r }()
		var fd int
		if fd, r.err = unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0); r.err != nil {
			return
		}
		defer func() { _ = unix.Close(fd) }()
		if r.err = unix.Setns(fd, unix.CLONE_NEWNET); r.err != nil {
			return
		}
		r.conn, r.err = (&net.Dialer{}).DialContext(ctx, network, address)
	}()
	r := <-results
	return r.conn, r.err
}
