package main

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

// inNamespace moves the test into a network namespace of its own, with the veth links one
// (10.0.1.1/24, fd00:1::1/64) and two (10.0.2.1/24, fd00:2::1/64). The thread never returns
// to other goroutines: it dies with the test, and the namespace with it.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		unavailable(t, fmt.Sprintf("needs a network namespace (root): %v", err))
	}
	script := "link set lo up\n"
	for i, name := range []string{"one", "two"} {
		script += fmt.Sprintf("link add %[1]s type veth peer name %[1]sfar\nlink set %[1]s up\nlink set %[1]sfar up\n"+
			"addr add 10.0.%[2]d.1/24 dev %[1]s\naddr add fd00:%[2]d::1/64 dev %[1]s nodad\n", name, i+1)
	}
	ip(t, script)
}

func unavailable(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("FAIRWAY_REQUIRE_ROOT") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// ip runs ip(8) with each line of script as its arguments and returns what all print.
func ip(t *testing.T, script string) string {
	t.Helper()
	path, err := exec.LookPath("ip")
	if err != nil {
		unavailable(t, "needs ip of iproute2")
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

// inThisNamespace runs do on a thread of its own in the namespace of this one.
func inThisNamespace(t *testing.T, do func() error) <-chan error {
	t.Helper()
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			ended <- err
			return
		}
		ended <- errors.Join(do(), namespace.Close())
	}()
	return ended
}
