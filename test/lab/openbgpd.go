package lab

import (
	"context"
	"fmt"
)

// OpenBGPD is a router that runs the real OpenBGPD. Outside of OpenBSD it exchanges routes
// and leaves the kernel's alone.
type OpenBGPD struct{ oneDaemon }

// openBGPD is where Debian has it. FRR has a bgpd, too.
const openBGPD = "/usr/sbin/bgpd"

// OpenBGPD adds a router with this bgpd.conf, without a "socket" line; Lab.Up starts it.
func (l *Lab) OpenBGPD(name, config string) *OpenBGPD {
	base, fine := l.oneDaemon(name, config, openBGPD, "bgpctl")
	r := &OpenBGPD{base}
	if fine {
		l.script("install -d /run/openbgpd") // its processes shut themselves in there
		l.starts(r)
	}
	return r
}

func (r *OpenBGPD) socket() string { return "/run/openbgpd/" + r.name + ".sock" }

// Up starts the daemon and returns when it answers. An error in the configuration ends it,
// and is returned.
func (r *OpenBGPD) Up(ctx context.Context) error {
	path, err := r.write(r.config)
	if err != nil {
		return err
	}
	if r.daemon, err = r.Start(ctx, "openbgpd", openBGPD, "-d", "-f", path); err != nil {
		return err
	}
	return r.daemon.ready(ctx, func() error {
		_, err := r.BGPCtl(ctx, "show", "summary")
		return err
	})
}

// write puts the socket before the configuration: lines in errors count one more.
func (r *OpenBGPD) write(config string) (string, error) {
	return r.writeConfig("bgpd.conf", fmt.Sprintf("socket %q\n", r.socket())+config)
}

// Configure replaces the whole configuration, now and for later starts.
func (r *OpenBGPD) Configure(ctx context.Context, config string) error {
	if _, err := r.write(config); err != nil {
		return err
	}
	r.config = config
	_, err := r.BGPCtl(ctx, "reload")
	return err
}

// BGPCtl runs one command ("show", "rib") and returns what it prints.
func (r *OpenBGPD) BGPCtl(ctx context.Context, command ...string) (string, error) {
	return r.Run(ctx, append([]string{"bgpctl", "-s", r.socket()}, command...)...)
}
