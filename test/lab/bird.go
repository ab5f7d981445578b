package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// BIRD is a router that runs the real BIRD 2.
type BIRD struct {
	*Host
	config string
	daemon *Process
}

// BIRD adds a router with this bird.conf, without "log" lines; Lab.Up starts it.
func (l *Lab) BIRD(name, config string) *BIRD {
	r := &BIRD{Host: l.newHost(name), config: config}
	if err := need("bird", "birdc"); err != nil {
		l.fail(err)
		return r
	}
	if !l.claim(name) {
		return r
	}
	r.create(routing)
	l.mu.Lock()
	l.routers = append(l.routers, r)
	l.mu.Unlock()
	return r
}

func (r *BIRD) socket() string { return "/run/bird-" + r.name + ".ctl" }

// Up starts the daemon and returns when it answers. An error in the
// configuration ends it, and is returned.
func (r *BIRD) Up(ctx context.Context) error {
	path, err := r.write(r.config)
	if err != nil {
		return err
	}
	r.daemon, err = r.Start(ctx, "bird", "bird", "-f", "-c", path, "-s", r.socket(), "-P", "/run/bird-"+r.name+".pid")
	if err != nil {
		return err
	}
	// The socket is there before the configuration has been read, and birdc does
	// not mind when the daemon ends over it.
	return r.daemon.ready(ctx, func() error {
		out, err := r.Birdc(ctx, "show", "status")
		if err == nil && !strings.Contains(out, "up and running") {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	})
}

// write puts the log statement on the first line, so that errors name the line
// of the configuration as it was given.
func (r *BIRD) write(config string) (string, error) {
	path := filepath.Join(r.dir, "bird.conf")
	if err := os.WriteFile(path, []byte("log stderr all; "+config), 0o644); err != nil {
		return "", fmt.Errorf("writing the configuration of %s: %w", r.name, err)
	}
	return path, nil
}

// Configure replaces the whole configuration, now and for later starts.
func (r *BIRD) Configure(ctx context.Context, config string) error {
	if _, err := r.write(config); err != nil {
		return err
	}
	r.config = config
	_, err := r.Birdc(ctx, "configure")
	return err
}

// Birdc runs one command ("show", "route") and returns what it prints.
func (r *BIRD) Birdc(ctx context.Context, command ...string) (string, error) {
	return r.Run(ctx, append([]string{"birdc", "-s", r.socket()}, command...)...)
}

// Daemon is the running daemon, nil when there is none.
func (r *BIRD) Daemon() *Process { return r.daemon }

// Down stops the daemon, if it runs: sessions get their NOTIFICATION.
func (r *BIRD) Down(ctx context.Context) error {
	daemon := r.daemon
	r.daemon = nil
	if daemon == nil || daemon.over(0) {
		return nil
	}
	return daemon.Stop(ctx)
}

// Crash kills the daemon without a word to anyone; its kernel routes stay.
func (r *BIRD) Crash() error {
	daemon := r.daemon
	r.daemon = nil
	if daemon == nil {
		return nil
	}
	return daemon.Kill()
}
