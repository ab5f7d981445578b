package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// oneDaemon is a router whose work is done by one process and its children.
type oneDaemon struct {
	*Host
	config string
	daemon *Process
}

// oneDaemon adds the host of a router that needs these programs. It is false when an
// error was found.
func (l *Lab) oneDaemon(name, config string, programs ...string) (oneDaemon, bool) {
	r := oneDaemon{Host: l.newHost(name), config: config}
	if err := need(programs...); err != nil {
		l.fail(err)
		return r, false
	}
	if !l.claim(name) {
		return r, false
	}
	r.create(routing)
	return r, true
}

// starts has Up start a router.
func (l *Lab) starts(r router) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.routers = append(l.routers, r)
}

// writeConfig writes the configuration for nobody's eyes but root's, and returns its path.
func (r *oneDaemon) writeConfig(file, config string) (string, error) {
	path := filepath.Join(r.dir, file)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return "", fmt.Errorf("writing the configuration of %s: %w", r.name, err)
	}
	return path, nil
}

// Daemon is the running daemon, nil when there is none.
func (r *oneDaemon) Daemon() *Process { return r.daemon }

// Down stops the daemon, if it runs: sessions get their NOTIFICATION.
func (r *oneDaemon) Down(ctx context.Context) error {
	daemon := r.daemon
	r.daemon = nil
	if daemon == nil || daemon.over(0) {
		return nil
	}
	return daemon.Stop(ctx)
}

// Crash kills the daemon without a word to anyone; its kernel routes stay.
func (r *oneDaemon) Crash() error {
	daemon := r.daemon
	r.daemon = nil
	if daemon == nil {
		return nil
	}
	var errs []error
	for _, pid := range daemon.Children() { // first, or they say that they end
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("killing a child of %s: %w", daemon.Name, err))
		}
	}
	return errors.Join(append(errs, daemon.Kill())...)
}
