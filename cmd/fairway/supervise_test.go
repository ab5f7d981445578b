package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary stand in for the parent: the real supervise, around a
// shell script.
func TestMain(m *testing.M) {
	if script := os.Getenv("FAIRWAY_SUPERVISE"); script != "" {
		if os.Getenv("FAIRWAY_SUBREAPER") != "" {
			if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
				panic(err)
			}
		}
		code, err := supervise(context.Background(), []string{"/bin/sh", "-c", script}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func parent(t *testing.T, script string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "FAIRWAY_SUPERVISE="+script)
	var log bytes.Buffer
	cmd.Stderr = &log
	return cmd, &log
}

func TestParentExitsWithTheStatusOfAnAgentThatGaveUp(t *testing.T) {
	for _, status := range []int{exitOK, exitError} {
		cmd, log := parent(t, fmt.Sprintf("exit %d", status))
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != status {
			t.Errorf("exit status %d, want %d\n%s", got, status, log)
		}
	}
}

func TestParentStartsTheAgentAgainAfterACrash(t *testing.T) {
	for name, crash := range map[string]string{"panic": "exit 2", "signal": "kill -SEGV $$"} {
		t.Run(name, func(t *testing.T) {
			count := filepath.Join(t.TempDir(), "starts")
			cmd, log := parent(t, fmt.Sprintf("echo x >> %s; [ $(wc -l < %s) -lt 3 ] || exit 0; %s", count, count, crash))
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if starts := lines(t, count); starts != 3 {
				t.Errorf("the agent was started %d times, want 3", starts)
			}
			if n := strings.Count(log.String(), "crashed and is started again"); n != 2 {
				t.Errorf("the log tells of %d crashes, want 2:\n%s", n, log)
			}
		})
	}
}

func TestAnAgentKnowsWhetherItFollowsACrash(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	cmd, log := parent(t, fmt.Sprintf(`echo "<$%s>" >> %s; [ $(wc -l < %[2]s) -lt 2 ] || exit 0; exit 2`, crashedVariable, said))
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	at, err := time.Parse(time.RFC3339Nano, strings.Trim(second, "<>"))
	if first != "<>" || err != nil || time.Since(at) > time.Minute {
		t.Errorf("the first heard %s, the second %s", first, second)
	}
}

func TestParentForwardsSIGTERMAndDoesNotStartAgain(t *testing.T) {
	dir := t.TempDir()
	ready, got := filepath.Join(dir, "ready"), filepath.Join(dir, "got")
	cmd, log := parent(t, fmt.Sprintf("trap 'echo x > %s; exit 3' TERM; echo x > %s; while :; do sleep 0.05; done", got, ready))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, ready)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := os.Stat(got); err != nil {
		t.Errorf("the agent did not get the signal: %v\n%s", err, log)
	}
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit status %d, want the agent's 3\n%s", code, log)
	}
}

func TestAgentEndsWithAParentThatWasKilled(t *testing.T) {
	dir := t.TempDir()
	ready, got := filepath.Join(dir, "ready"), filepath.Join(dir, "got")
	cmd, _ := parent(t, fmt.Sprintf("trap 'echo x > %s; exit 0' TERM; echo x > %s; while :; do sleep 0.05; done", got, ready))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, ready)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	await(t, got)
}

func TestParentReapsOrphans(t *testing.T) {
	// The subreaper stands for PID 1: the orphan of the script becomes its child.
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	script := fmt.Sprintf("(sh -c 'echo $$ > %s.new; mv %s.new %s; exec sleep 0.2' &) ; "+
		"while [ ! -e %s ]; do sleep 0.02; done; p=$(cat %s); "+
		"for i in $(seq 200); do kill -0 $p 2>/dev/null || exit 0; sleep 0.05; done; exit 1", pidFile, pidFile, pidFile, pidFile, pidFile)
	cmd, log := parent(t, script)
	cmd.Env = append(cmd.Env, "FAIRWAY_SUBREAPER=1")
	if err := cmd.Run(); err != nil {
		t.Errorf("the orphan stayed a zombie: %v\n%s", err, log)
	}
}

func TestCrashDelaysGrowToTheLast(t *testing.T) {
	for i := 1; i < len(restartDelays); i++ {
		if restartDelays[i] <= restartDelays[i-1] {
			t.Errorf("delay %d is %s, not above %s", i, restartDelays[i], restartDelays[i-1])
		}
	}
}

func lines(t *testing.T, file string) int {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(content, []byte("\n"))
}

// await polls until the file exists.
func await(t *testing.T, file string) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s did not appear", file)
		case <-tick.C:
		}
	}
}
