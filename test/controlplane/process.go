package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that this test process started and that dies with it.
type process struct {
	name string
	log  string // path of what it prints
	pid  int
	done chan struct{} // closed once it ended
	err  error         // how it ended; read after done

	mu     sync.Mutex
	reaped bool // pid may belong to another process by now
}

// startProcess starts cmd with its output in a file of dir.
//
// The kernel kills the program when the thread that forked it ends, so one
// goroutine holds that thread from before the fork until the program's end. That
// also covers a test that is killed and so cannot clean up.
func startProcess(name string, cmd *exec.Cmd, dir string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	bindToParent(cmd)

	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = p.wait(cmd)
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// bindToParent makes the kernel kill cmd with this process, and puts it into a
// process group of its own, so that what a wrapper forks can be killed as well.
func bindToParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if !cmd.SysProcAttr.Setsid {
		cmd.SysProcAttr.Setpgid = true
	}
}

// ended reports whether the program is gone, and how it went.
func (p *process) ended() (gone bool, err error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// wait returns when the program ended, and takes along what it forked. Its pid
// stays taken until it is reaped, so until then the signal can hit nobody else.
func (p *process) wait(cmd *exec.Cmd) error {
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = unix.Kill(-p.pid, unix.SIGKILL)
	p.reaped = true
	return cmd.Wait()
}

// kill ends the program at once and returns when it is gone. etcd's data
// survives this, as it survives the end of a process anywhere.
func (p *process) kill() error {
	p.mu.Lock()
	if !p.reaped {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
	p.mu.Unlock()
	select {
	case <-p.done:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("killing %s (pid %d): still there after 30 s", p.name, p.pid)
	}
}

// tail is the end of what the program printed.
func (p *process) tail(lines int) string { return tailOf(p.log, lines) }

func tailOf(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
