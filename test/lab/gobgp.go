package lab

import (
	"context"
	"syscall"
)

// GoBGP is a router that runs the real gobgpd. It exchanges routes and leaves the kernel's alone.
type GoBGP struct{ oneDaemon }

// GoBGP adds a router with this configuration, in TOML; Lab.Up starts it.
func (l *Lab) GoBGP(name, config string) *GoBGP {
	base, fine := l.oneDaemon(name, config, "gobgpd", "gobgp")
	r := &GoBGP{base}
	if fine {
		l.starts(r)
	}
	return r
}

// Up starts the daemon and returns when it answers. An error in the configuration ends it,
// and is returned.
func (r *GoBGP) Up(ctx context.Context) error {
	return r.start(ctx)
}

// UpAfterCrash is Up for a daemon that tells its peers that it restarts (RFC 4724).
func (r *GoBGP) UpAfterCrash(ctx context.Context) error {
	return r.start(ctx, "--graceful-restart")
}

func (r *GoBGP) start(ctx context.Context, more ...string) error {
	path, err := r.writeConfig("gobgpd.toml", r.config)
	if err != nil {
		return err
	}
	r.daemon, err = r.Start(ctx, "gobgpd", append([]string{"gobgpd", "-f", path, "--api-hosts", "127.0.0.1:50051", "--pprof-disable"}, more...)...)
	if err != nil {
		return err
	}
	return r.daemon.ready(ctx, func() error {
		_, err := r.Client(ctx, "global")
		return err
	})
}

// Configure replaces the whole configuration, now and for later starts. gobgpd takes up
// what it can; a mistake is only in its log.
func (r *GoBGP) Configure(_ context.Context, config string) error {
	if _, err := r.writeConfig("gobgpd.toml", config); err != nil {
		return err
	}
	r.config = config
	return r.daemon.Signal(syscall.SIGHUP)
}

// Client runs one command of gobgp ("neighbor", "-j") and returns what it prints.
func (r *GoBGP) Client(ctx context.Context, command ...string) (string, error) {
	return r.Run(ctx, append([]string{"gobgp"}, command...)...)
}
