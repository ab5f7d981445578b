package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// childMode makes this test binary a program that raises a lab, tells its
// parent, and then does as the mode says. See TestMain.
const childMode = "FAIRWAY_LAB_TEST_CHILD"

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		os.Exit(m.Run())
	}
	if err := child(mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(mode string) error {
	l, err := Start(context.Background(), Options{Dir: os.Getenv("LAB_DIR")})
	if err != nil {
		return err
	}
	if err := populate(context.Background(), l); err != nil {
		return err
	}
	if mode == "detach" {
		if err := l.Detach(); err != nil {
			return err
		}
	}
	fmt.Println(l.keeper.pid, l.Pid())
	if mode == "detach" {
		return nil
	}
	_, err = bufio.NewReader(os.Stdin).ReadString('\n') // until killed
	return err
}

// populate raises what could leak: hosts, links, a daemon that leaves its
// session, a process that is frozen, and one that ignores every signal it can.
func populate(ctx context.Context, l *Lab) error {
	a, b := l.Node("node-1"), l.Host("b")
	l.Link(a, b, "10.0.0.0/31")
	a.Pod("10.244.1.2/24")
	if err := l.Err(); err != nil {
		return err
	}
	_, err := a.Run(ctx, "setsid", "--fork", "sh", "-c", "exec sleep 1000 >/dev/null 2>&1")
	if err != nil {
		return err
	}
	frozen, err := b.Start(ctx, "frozen", "sleep", "1000")
	if err != nil {
		return err
	}
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	_, err = b.Start(ctx, "deaf", "sh", "-c", "trap '' HUP INT TERM PIPE; exec sleep 1000")
	return err
}

// A census tells whether a lab is still there: its processes by their process
// namespace, and its network namespaces by a canary in each, one end of a veth
// pair whose other end, in a lab of the census's own, goes when it goes.
type census struct {
	space string // held open, or the kernel would give its number to the next lab
	watch *Host
}

func takeCensus(t *testing.T, keeper int) census {
	t.Helper()
	space := fmt.Sprintf("/proc/%d/ns/pid", keeper)
	link, err := os.Readlink(space)
	if err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(space)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	l := New(t)
	c := census{space: link, watch: l.Host("watch")}
	nets, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/run/netns/*", keeper))
	if err != nil || len(nets) != 3 {
		t.Fatalf("the lab has the namespaces %v (%v), want three", nets, err)
	}
	for i, net := range append(nets, fmt.Sprintf("/proc/%d/ns/net", keeper)) {
		cmd := exec.Command("nsenter", "--net="+net, "ip", "link", "add", "name", "canary", "type", "veth",
			"peer", "name", fmt.Sprintf("canary-%d", i), "netns", fmt.Sprintf("/proc/%d/root/run/netns/watch", l.keeper.pid))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("placing a canary: %v: %s", err, out)
		}
	}
	return c
}

// inhabitants are the processes of the lab.
func (c census) inhabitants(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, path := range paths {
		if link, err := os.Readlink(path); err == nil && link == c.space {
			pids = append(pids, strings.Split(path, "/")[2])
		}
	}
	return pids
}

func (c census) canaries(t *testing.T) int {
	t.Helper()
	out, err := c.watch.Run(t.Context(), "ip", "-o", "link", "show")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(out, ": canary-")
}

// mustBePopulated is the twin of mustBeEmpty that shows that the census counts.
func (c census) mustBePopulated(t *testing.T) {
	t.Helper()
	if pids, nets := c.inhabitants(t), c.canaries(t); len(pids) != 4 || nets != 4 {
		t.Fatalf("the living lab has the processes %v and %d network namespaces, want four each", pids, nets)
	}
}

func (c census) mustBeEmpty(t *testing.T) {
	t.Helper()
	Eventually(t, patience, func() error {
		if pids, nets := c.inhabitants(t), c.canaries(t); len(pids) > 0 || nets > 0 {
			return fmt.Errorf("processes %v and %d network namespaces outlive their lab", pids, nets)
		}
		return nil
	})
}

func TestClosedLabLeavesNothing(t *testing.T) {
	l := New(t)
	if err := populate(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	c := takeCensus(t, l.keeper.pid)
	c.mustBePopulated(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if pids := c.inhabitants(t); len(pids) > 0 {
		t.Errorf("processes %v outlive their lab", pids)
	}
	c.mustBeEmpty(t) // the kernel takes namespaces down in its own time
}

func TestLabWithKilledKeeperLeavesNothing(t *testing.T) {
	for name, victim := range map[string]func(*Lab) int{
		"unshare":   (*Lab).Pid,
		"process 1": func(l *Lab) int { return l.keeper.pid },
	} {
		t.Run(name, func(t *testing.T) {
			l := New(t)
			if err := populate(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			c := takeCensus(t, l.keeper.pid)
			c.mustBePopulated(t)
			if err := syscall.Kill(victim(l), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c.mustBeEmpty(t)
		})
	}
}

func TestLabOfAKilledTestLeavesNothing(t *testing.T) {
	cmd, keeper, _ := startChild(t, "block")
	c := takeCensus(t, keeper)
	c.mustBePopulated(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.mustBeEmpty(t)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the child ended by itself: %v", err)
	}
}

func TestDetachedLabStaysUntilItIsKilled(t *testing.T) {
	cmd, keeper, pid := startChild(t, "detach")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	c := takeCensus(t, keeper)
	c.mustBePopulated(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.mustBeEmpty(t)
}

// startChild runs this binary again, as a program that raises a lab, and returns
// the lab's process 1 and the process to kill.
func startChild(t *testing.T, mode string) (cmd *exec.Cmd, keeper, pid int) {
	t.Helper()
	NeedRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), childMode+"="+mode, "LAB_DIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	if _, err := fmt.Fscan(out, &keeper, &pid); err != nil {
		_ = cmd.Process.Kill()
		t.Fatalf("the child raised no lab: %v", err)
	}
	return cmd, keeper, pid
}
