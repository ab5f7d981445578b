package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process runs on a host until it ends, is stopped, or the lab is closed.
type Process struct {
	Name    string // "node-1/agent"
	LogPath string // standard output and error, of earlier runs of the same name too
	Pid     int    // as seen from outside the lab, good for signals and /proc

	cmd  *exec.Cmd // the parent, see parentScript
	done chan struct{}
	err  error // how it ended, once done
}

// Start runs a program on the host; name it for its log. ctx bounds the start
// only. Further environment goes through env: Start(ctx, "a", "env", "K=V", "prog").
func (h *Host) Start(ctx context.Context, name string, argv ...string) (*Process, error) {
	l := h.lab
	if err := l.Err(); err != nil {
		return nil, err
	}
	p := &Process{
		Name:    h.name + "/" + name,
		LogPath: filepath.Join(h.dir, name+".log"),
		done:    make(chan struct{}),
	}
	log, err := os.OpenFile(p.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", p.Name, err)
	}
	defer log.Close()
	// Not ctx: the process outlives it.
	p.cmd = l.command(context.WithoutCancel(ctx), h.name, argv...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := l.launch(p); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Name, err)
	}
	if err := p.findPid(ctx); err != nil {
		return nil, err
	}
	l.log.Info("started", "process", p.Name, "pid", p.Pid)
	return p, nil
}

// launch starts a process and keeps it in the list of those that Close ends.
func (l *Lab) launch(p *Process) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.detached {
		return errors.New("the lab was closed or detached")
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	l.processes = append(l.processes, p)
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return nil
}

// findPid waits for the parent to have its child, the process proper.
func (p *Process) findPid(ctx context.Context) error {
	return Until(ctx, func() error {
		if children := childrenOf(p.cmd.Process.Pid); len(children) > 0 {
			p.Pid = children[0]
			return nil
		}
		if p.over(0) {
			p.Pid = p.cmd.Process.Pid // ended at once; gone, so never signalled
			return nil
		}
		return fmt.Errorf("%s has not started yet", p.Name)
	})
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns how the process ended: nil, or an error like "exit status 2" or
// "signal: killed".
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s to end: %w", p.Name, context.Cause(ctx))
	}
}

// Signal sends a signal to the process. SIGSTOP and SIGCONT freeze it and let it
// go on.
func (p *Process) Signal(signal syscall.Signal) error {
	if p.over(0) {
		return fmt.Errorf("%s has ended: %w", p.Name, os.ErrProcessDone)
	}
	return syscall.Kill(p.Pid, signal)
}

// ready waits until check is content, but not for a process that has ended.
func (p *Process) ready(ctx context.Context, check func() error) error {
	return Until(ctx, func() error {
		err := check()
		if err == nil {
			return nil
		}
		if p.over(0) {
			log, _ := p.Log()
			return Never(fmt.Errorf("%s ended at once (%s): %s", p.Name, fmt.Sprint(p.err), lastLines(log, 10)))
		}
		return fmt.Errorf("waiting for %s: %w", p.Name, err)
	})
}

// Stop asks with SIGTERM, waits until the process has ended or ctx is done, 10
// seconds without a deadline, and then kills it. The error says when it had to be
// killed, or when it ended with a status other than 0.
func (p *Process) Stop(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, closeTimeout)
		defer cancel()
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s did not end on SIGTERM and was killed", p.Name), p.Kill())
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		return nil // it has no handler, which is an answer too
	}
	return p.err
}

// Kill kills the process, not its children, and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.Name, err)
	}
	if !p.over(closeTimeout) {
		return fmt.Errorf("%s is still there after SIGKILL (pid %d)", p.Name, p.Pid)
	}
	return nil
}

// Children are the pids of the processes that this one has started.
func (p *Process) Children() []int {
	if p.over(0) {
		return nil
	}
	return childrenOf(p.Pid)
}

// Log is what the process has written so far.
func (p *Process) Log() (string, error) {
	text, err := os.ReadFile(p.LogPath)
	if err != nil {
		return "", fmt.Errorf("reading the log of %s: %w", p.Name, err)
	}
	return string(text), nil
}

// over reports whether the process has ended, or does so within d.
func (p *Process) over(d time.Duration) bool {
	select {
	case <-p.done:
		return true
	default:
	}
	if d == 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// childrenOf searches /proc, since not every kernel lists the children.
func childrenOf(pid int) []int {
	return search(func(_, parent, _ int) bool { return parent == pid })
}

// killFollowers kills all of a process group but its leader, which is left to
// reap its child: an orphan would fall to the machine's process 1, and some take
// seconds to reap.
func killFollowers(leader int) {
	for _, pid := range search(func(pid, _, group int) bool { return group == leader && pid != leader }) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// search finds processes by pid, parent and process group.
func search(match func(pid, parent, group int) bool) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// After a name in parentheses, which may hold anything: state, parent, group.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		group, _ := strconv.Atoi(fields[2])
		if match(pid, parent, group) {
			found = append(found, pid)
		}
	}
	return found
}
