package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ExaBGP is a host that runs the real ExaBGP: it tells what it is given, and writes down what it
// hears, and knows no routes.
type ExaBGP struct{ oneDaemon }

// ExaBGP adds a host with this configuration; Lab.Up starts it. A neighbor's
//
//	api { processes [ watch ]; neighbor-changes; receive { parsed; update; notification; } }
//
// has what it hears written to Heard.
func (l *Lab) ExaBGP(name, config string) *ExaBGP {
	base, fine := l.oneDaemon(name, config, "exabgp")
	r := &ExaBGP{base}
	if fine {
		l.starts(r)
	}
	return r
}

// watchScript leaves its standard output open: ExaBGP takes the end of it for the end of the script.
const watchScript = `#!/bin/sh
exec 3>&1 # stays open
while read -r line; do echo "$line"; done >>`

func (r *ExaBGP) heardFile() string { return filepath.Join(r.dir, "heard.json") }

// Up starts the daemon and returns when it has read its configuration. An error in that ends
// it, and is returned.
func (r *ExaBGP) Up(ctx context.Context) error {
	script := filepath.Join(r.dir, "watch")
	if err := os.WriteFile(script, []byte(watchScript+r.heardFile()+"\n"), 0o700); err != nil {
		return fmt.Errorf("writing the script of %s: %w", r.name, err)
	}
	path, err := r.write(r.config)
	if err != nil {
		return err
	}
	r.daemon, err = r.Start(ctx, "exabgp", "env", "exabgp.daemon.user=root", "exabgp.api.cli=false", "exabgp.log.level=INFO", "exabgp", path)
	if err != nil {
		return err
	}
	return r.daemon.ready(ctx, func() error {
		if _, err := os.Stat(r.heardFile()); err != nil {
			return errors.New("its process has not started")
		}
		return nil
	})
}

func (r *ExaBGP) write(config string) (string, error) {
	watch := fmt.Sprintf("process watch { run %s; encoder json; }\n", filepath.Join(r.dir, "watch"))
	return r.writeConfig("exabgp.conf", watch+config)
}

// Configure replaces the whole configuration, now and for later starts. What differs in the
// routes is told and withdrawn.
func (r *ExaBGP) Configure(_ context.Context, config string) error {
	if _, err := r.write(config); err != nil {
		return err
	}
	r.config = config
	return r.daemon.Signal(syscall.SIGUSR1)
}

// Heard is what it has heard since the start, a line of JSON for each message.
func (r *ExaBGP) Heard() ([]string, error) {
	text, err := os.ReadFile(r.heardFile())
	if err != nil {
		return nil, fmt.Errorf("reading what %s has heard: %w", r.name, err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n"), nil
}
