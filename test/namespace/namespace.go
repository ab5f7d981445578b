// Package namespace gives a test a network namespace of its own, and ip(8) in it.
package namespace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Enter moves the test into a network namespace of its own. The thread never returns to other
// goroutines: it dies with the test, and the namespace with it.
func Enter(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		Unavailable(t, fmt.Sprintf("needs a network namespace (root): %v", err))
	}
}

// EnterWithLinks enters one that has the links one (10.0.1.1/24 and fd00:1::1/64) and two
// (10.0.2.1/24 and fd00:2::1/64), each a veth whose far end is up too.
func EnterWithLinks(t testing.TB) {
	t.Helper()
	Enter(t)
	script := "link set lo up\n"
	for i, name := range []string{"one", "two"} {
		script += fmt.Sprintf("link add %[1]s type veth peer name %[1]sfar\nlink set %[1]s up\nlink set %[1]sfar up\n"+
			"addr add 10.0.%[2]d.1/24 dev %[1]s\naddr add fd00:%[2]d::1/64 dev %[1]s nodad\n", name, i+1)
	}
	IP(t, script)
}

// Go runs do on a thread of its own in the namespace of this one.
func Go(t testing.TB, do func() error) <-chan error {
	t.Helper()
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		if err = errors.Join(err, file.Close()); err == nil {
			err = do()
		}
		ended <- err
	}()
	return ended
}

// IP runs ip(8) with each line of script as its arguments and returns what all print.
func IP(t testing.TB, script string) string {
	t.Helper()
	path, err := exec.LookPath("ip")
	if err != nil {
		Unavailable(t, "needs ip of iproute2")
	}
	var all strings.Builder
	for line := range strings.Lines(script) {
		out, err := exec.CommandContext(t.Context(), path, strings.Fields(line)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
		all.Write(out)
	}
	return all.String()
}

// Unavailable skips a test that this machine cannot run, visibly. Where nothing may be
// missing, with CI or FAIRWAY_REQUIRE_ROOT=1 in the environment, it fails the test instead.
func Unavailable(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("FAIRWAY_REQUIRE_ROOT") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}
