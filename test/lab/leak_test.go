package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
// session, and one that ignores every signal it can.
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
	_, err = b.Start(ctx, "deaf", "sh", "-c", "trap '' HUP INT TERM PIPE; while :; do sleep 1; done")
	return err
}

// A census holds a lab's namespaces by inode and finds who is in them.
type census map[string]bool

func takeCensus(t *testing.T, keeper int) census {
	t.Helper()
	spaces := census{}
	for _, kind := range []string{"pid", "mnt", "net"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", keeper, kind))
		if err != nil {
			t.Fatal(err)
		}
		spaces[link] = true
	}
	named, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/run/netns/*", keeper))
	if err != nil || len(named) != 3 {
		t.Fatalf("the lab has the namespaces %v (%v), want three", named, err)
	}
	for _, path := range named {
		var stat syscall.Stat_t
		if err := syscall.Stat(path, &stat); err != nil {
			t.Fatal(err)
		}
		spaces[fmt.Sprintf("net:[%d]", stat.Ino)] = true
	}
	if len(spaces) != 6 {
		t.Fatalf("the lab has %d namespaces, want 6: %v", len(spaces), spaces)
	}
	return spaces
}

// inhabitants are the processes that live in one of the namespaces.
func (c census) inhabitants(t *testing.T) []int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/ns/*")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, path := range paths {
		if link, err := os.Readlink(path); err == nil && c[link] {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// mustBePopulated is the twin of mustBeEmpty that shows that the census counts.
func (c census) mustBePopulated(t *testing.T) {
	t.Helper()
	if pids := c.inhabitants(t); len(pids) < 3 {
		t.Fatalf("the living lab has %v for processes, want at least three", pids)
	}
}

func (c census) mustBeEmpty(t *testing.T) {
	t.Helper()
	Eventually(t, patience, func() error {
		if pids := c.inhabitants(t); len(pids) > 0 {
			return fmt.Errorf("processes %v outlive their lab", pids)
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
