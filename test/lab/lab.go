// Package lab builds networks out of network namespaces: nodes with pods,
// switches, plain hosts, and routers that run the real FRR or BIRD.
//
// What it keeps true: a lab is a world of its own, and nothing of it outlives
// it. Each lab has its own process, mount and network namespaces and its own
// /run, so that names never collide and any number of labs run side by side.
// All its processes and namespaces end when it is closed, when its keeper is
// killed, and when the process that started it ends in any way, SIGKILL
// included. The machine's own network, /run and services are never touched.
//
// A topology is declared first (Node, Switch, Link, FRR, ...) and then brought
// up with Up. Declaring calls return no error: under New the first one ends the
// test; after Start it is kept, later declarations do nothing, and Err returns it.
//
// Labs need root and the programs that test/setup/install.sh installs.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrUnavailable is wrapped by errors that say that this machine, as it is,
// cannot run a lab or a part of it. The message says what to do.
var ErrUnavailable = errors.New("not possible on this machine")

// Options of a lab.
type Options struct {
	// Dir receives a folder per host with its logs and configuration files. It
	// must exist, and must not lie below /run, which a lab has to itself.
	Dir string
	// Log is told each process that is started; nil for silence.
	Log *slog.Logger
}

// A Lab is a set of hosts and the wires between them.
type Lab struct {
	dir    string
	log    *slog.Logger
	ctx    context.Context // bounds declaring calls
	fail   func(error)
	keeper keeper

	mu        sync.Mutex
	err       error
	hosts     map[string]bool
	routers   []router
	processes []*Process
	ports     int
	detached  bool
}

// A router is a host whose daemons are started once the topology stands.
type router interface {
	Up(ctx context.Context) error
}

// Start makes an empty lab. It lives until Close, or until this process ends.
// ctx bounds Start and the calls that declare the topology.
func Start(ctx context.Context, o Options) (*Lab, error) {
	if err := need("unshare", "nsenter", "mount", "ip", "sysctl", "ping"); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the lab's folder: %w", err)
	}
	if strings.HasPrefix(dir+"/", "/run/") || strings.HasPrefix(dir+"/", "/var/run/") {
		return nil, fmt.Errorf("the lab's folder %s lies below /run, which a lab has to itself: choose another", dir)
	}
	l := &Lab{dir: dir, log: o.Log, ctx: ctx, hosts: map[string]bool{}}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.fail = l.keepFirst
	if err := l.keeper.start(ctx, filepath.Join(dir, "keeper.log")); err != nil {
		return nil, err
	}
	return l, nil
}

// Err returns the first error of a declaring call.
func (l *Lab) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Dir is the folder with a folder of logs and configuration files per host.
func (l *Lab) Dir() string { return l.dir }

// Pid is the process whose end is the lab's end.
func (l *Lab) Pid() int { return l.keeper.cmd.Process.Pid }

func (l *Lab) keepFirst(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// Up starts the routers declared since the last Up, all at once, and returns
// when each of them answers and has accepted its configuration.
func (l *Lab) Up(ctx context.Context) error {
	if err := l.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	routers := l.routers
	l.routers = nil
	l.mu.Unlock()
	all, ctx := errgroup.WithContext(ctx)
	for _, r := range routers {
		all.Go(func() error { return r.Up(ctx) })
	}
	return all.Wait()
}

// Close kills every process of the lab and waits for the last one to be gone.
// It does nothing on a lab that was closed or detached.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.detached {
		return nil
	}
	l.detached = true
	err := l.keeper.stop()
	for _, p := range l.processes {
		if !p.over(closeTimeout) {
			err = errors.Join(err, fmt.Errorf("%s is still there after the lab was closed (pid %d)", p.Name, p.Pid))
		}
	}
	return err
}

// Detach leaves the lab standing when this process ends. Killing Pid with
// SIGKILL ends it. Close does nothing from here on.
func (l *Lab) Detach() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.detached {
		return errors.New("the lab was closed or detached before")
	}
	l.detached = true
	return l.keeper.detach()
}

// Enter is the shell command line that runs what is appended to it inside the
// named host, for people who want to look around.
func (l *Lab) Enter(host string) string {
	return fmt.Sprintf("nsenter -t %d -m -p -n ip netns exec %s", l.keeper.pid, host)
}

const (
	closeTimeout  = 10 * time.Second
	scriptTimeout = 30 * time.Second
)

// script runs lines of shell in the lab's own network namespace, the patch
// panel in which all wires and switches lie. The first failing line ends it.
func (l *Lab) script(lines ...string) {
	if l.Err() != nil {
		return
	}
	text := "set -e\n" + strings.Join(lines, "\n") + "\n"
	if _, err := l.run(l.ctx, "", "sh", "-c", text); err != nil {
		l.fail(err)
	}
}

// run runs argv in the network namespace of a host ("" is the patch panel) and
// returns its standard output.
func (l *Lab) run(ctx context.Context, host string, argv ...string) (string, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, scriptTimeout)
		defer cancel()
	}
	var stdout, stderr bytes.Buffer
	cmd := l.command(ctx, host, argv...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error {
		killFollowers(cmd.Process.Pid)
		return nil
	}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	said := strings.TrimSpace(lastLines(stderr.String()+stdout.String(), 10))
	return stdout.String(), fmt.Errorf("%s: running %q: %w: %s", nameOf(host), strings.Join(argv, " "), err, said)
}

// parentScript runs a program and ends as it did. Only children of a process that
// entered a process namespace are in it, so each program needs a parent outside.
// nsenter could be that itself, but it stops when its child is stopped, then reaps
// nothing, and so keeps a dead lab from going away.
const parentScript = `"$@"; status=$?; [ $status -le 128 ] || kill -$((status - 128)) $$; exit $status`

// command prepares argv to run in a host's namespaces, in a session of its own
// so that a Ctrl-C meant for the test does not reach the lab.
func (l *Lab) command(ctx context.Context, host string, argv ...string) *exec.Cmd {
	net := fmt.Sprintf("--net=/proc/%d/ns/net", l.keeper.pid)
	if host != "" {
		net = fmt.Sprintf("--net=/proc/%d/root/run/netns/%s", l.keeper.pid, host)
	}
	args := append([]string{"--target=" + strconv.Itoa(l.keeper.pid), "--mount", "--pid", net,
		"--no-fork", "--", "sh", "-c", parentScript, "sh"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = append(os.Environ(), "PATH="+searchPath())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func nameOf(host string) string {
	if host == "" {
		return "lab"
	}
	return host
}

// searchPath is PATH and where Debian keeps what only root uses.
func searchPath() string {
	return os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin"
}

// need reports the first of the programs that is not installed.
func need(programs ...string) error {
next:
	for _, program := range programs {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		for _, dir := range filepath.SplitList(searchPath()) {
			if _, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
				continue next
			}
		}
		return fmt.Errorf("%w: %s is not installed; run: sudo test/setup/install.sh", ErrUnavailable, program)
	}
	return nil
}

// A name serves as namespace, as interface name at the far end of its links
// (15 characters, some for "-2"), and as file name.
var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,12}$`)

// claim reserves a name within the lab.
func (l *Lab) claim(name string) bool {
	switch name {
	case "all", "default", "lo", "vf", "cni0", "eth0": // of the kernel, of ip, ours
		l.fail(fmt.Errorf("%q cannot be the name of a host: it is taken as an interface name", name))
		return false
	}
	if !validName.MatchString(name) {
		l.fail(fmt.Errorf("%q cannot be the name of a host: it needs to match %s", name, validName))
		return false
	}
	return l.claimAny(name)
}

func (l *Lab) claimAny(name string) bool {
	l.mu.Lock()
	taken := l.hosts[name]
	l.hosts[name] = true
	l.mu.Unlock()
	if taken {
		l.fail(fmt.Errorf("this lab has a %q already", name))
	}
	return !taken
}

// nextPort numbers the ports and wires of the patch panel. Their names have a
// dot, which no host's name has.
func (l *Lab) nextPort(kind string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ports++
	return fmt.Sprintf("%s.%d", kind, l.ports)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
