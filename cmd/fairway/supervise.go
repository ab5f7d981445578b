package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// restartDelays are the waits before the agent is started again after a crash; the last
// one holds from there on. The first is nothing: every moment without the agent counts
// against the restart time that peers were promised.
var restartDelays = []time.Duration{0, 300 * time.Millisecond, time.Second, 5 * time.Second}

// steadyAfter is how long the agent must have run for a crash to count as the first again.
const steadyAfter = time.Minute

// forwarded are the signals that are the agent's, not the parent's.
var forwarded = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}

// supervisor starts the agent proper as a child and keeps it running: GoBGP can be crashed
// by a malformed UPDATE, and a kubelet's back-off would outlast what graceful restart covers.
type supervisor struct {
	argv    []string
	log     *slog.Logger
	signals chan os.Signal
	exits   chan exit
}

// exit is a process that ended, as the kernel told it: the child, or an orphan that PID 1 inherited.
type exit struct {
	pid    int
	status syscall.WaitStatus
}

// supervise runs argv as a child until it ends on its own account, and returns the exit
// status for the parent.
func supervise(ctx context.Context, argv []string, log *slog.Logger) (int, error) {
	// The child is told when its parent's thread dies, so that thread has to be this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := &supervisor{argv: argv, log: log, signals: make(chan os.Signal, 16), exits: make(chan exit, 16)}
	signal.Notify(s.signals, forwarded...)
	defer signal.Stop(s.signals)
	// A terminal that goes away is no reason to lose sessions; the child inherits this.
	signal.Ignore(syscall.SIGHUP)
	if ctx.Err() != nil {
		return exitOK, nil // asked to end before anything was started
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	go reap(children, s.exits)
	return s.run()
}

func (s *supervisor) run() (int, error) {
	env := os.Environ()
	for crashes := 0; ; crashes++ {
		started := time.Now()
		status, stopped, err := s.once(env)
		if err != nil {
			return exitError, err
		}
		if code, final := verdict(status, stopped); final {
			return code, nil
		}
		if time.Since(started) >= steadyAfter {
			crashes = 0
		}
		env = append(os.Environ(), crashedVariable+"="+time.Now().Format(time.RFC3339Nano))
		delay := restartDelays[min(crashes, len(restartDelays)-1)]
		s.log.Error("the agent crashed and is started again; kernel routes stay in place", "status", describe(status), "after", delay)
		if s.wait(delay) {
			return exitOK, nil
		}
	}
}

// verdict tells whether an end of the agent is final, and the parent's own status then.
func verdict(status syscall.WaitStatus, stopped bool) (code int, final bool) {
	if status.Signaled() {
		if asked := status.Signal() == syscall.SIGTERM || status.Signal() == syscall.SIGINT; stopped && asked {
			return exitOK, true // it had not got as far as to handle the signal
		}
		return 128 + int(status.Signal()), stopped
	}
	code = status.ExitStatus()
	return code, stopped || code == exitOK || code == exitError
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// crashedVariable is in the environment of an agent that is started after a crash, and says when that was.
const crashedVariable = "FAIRWAY_CRASHED_AT"

// crashedBefore returns when the agent crashed that this one is started in place of; the zero Time: none did.
func crashedBefore(log *slog.Logger) time.Time {
	text := os.Getenv(crashedVariable)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		log.Error("the parent process does not say when the agent crashed", "error", err)
		return time.Now()
	}
	return at
}

// once runs the child to its end. stopped reports whether it was asked to end.
func (s *supervisor) once(env []string) (status syscall.WaitStatus, stopped bool, err error) {
	child, err := os.StartProcess(s.argv[0], s.argv, &os.ProcAttr{
		Env:   env,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM},
	})
	if err != nil {
		return 0, false, fmt.Errorf("starting the agent process: %w", err)
	}
	for {
		select {
		case sig := <-s.signals:
			stopped = stopped || sig == syscall.SIGTERM || sig == syscall.SIGINT
			_ = child.Signal(sig) // a child that has just ended is noticed below
		case e := <-s.exits:
			if e.pid == child.Pid {
				return e.status, stopped, nil
			}
		}
	}
}

// wait sleeps until the agent may be started again; true when asked to end meanwhile.
func (s *supervisor) wait(delay time.Duration) (stop bool) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return false
		case sig := <-s.signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				return true
			}
		case <-s.exits: // an orphan
		}
	}
}

// reap collects every process that ends, orphans too: in a container the parent is PID 1.
func reap(children <-chan os.Signal, exits chan<- exit) {
	for range children {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if pid <= 0 || err != nil {
				break
			}
			exits <- exit{pid, status}
		}
	}
}
