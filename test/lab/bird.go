package lab

import (
	"context"
	"fmt"
	"strings"
)

// BIRD is a router that runs the real BIRD 2.
type BIRD struct{ oneDaemon }

// BIRD adds a router with this bird.conf, without "log" lines; Lab.Up starts it.
func (l *Lab) BIRD(name, config string) *BIRD {
	base, fine := l.oneDaemon(name, config, "bird", "birdc")
	r := &BIRD{base}
	if fine {
		l.starts(r)
	}
	return r
}

func (r *BIRD) socket() string { return "/run/bird-" + r.name + ".ctl" }

// Up starts the daemon and returns when it answers. An error in the
// configuration ends it, and is returned.
func (r *BIRD) Up(ctx context.Context) error { return r.start(ctx) }

// UpAfterCrash is Up for a daemon that recovers from a crash by graceful restart: what it
// left in the kernel stays until its peers have told all.
func (r *BIRD) UpAfterCrash(ctx context.Context) error { return r.start(ctx, "-R") }

func (r *BIRD) start(ctx context.Context, more ...string) error {
	path, err := r.write(r.config)
	if err != nil {
		return err
	}
	r.daemon, err = r.Start(ctx, "bird", append([]string{"bird", "-f", "-c", path, "-s", r.socket(), "-P", "/run/bird-" + r.name + ".pid"}, more...)...)
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
	return r.writeConfig("bird.conf", "log stderr all; "+config)
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
