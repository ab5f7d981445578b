package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// BMPCollector is a host that runs pmacct's collector of BMP (RFC 7854), and writes down what
// it is told.
type BMPCollector struct{ oneDaemon }

// BMPCollector adds the host; Lab.Up starts it. It listens on the port that is pmacct's
// default, 11019, and ours.
func (l *Lab) BMPCollector(name string) *BMPCollector {
	base, fine := l.oneDaemon(name, "", "pmbmpd")
	r := &BMPCollector{base}
	r.config = fmt.Sprintf("bmp_daemon_ip: 0.0.0.0\nbmp_daemon_port: 11019\nbmp_daemon_msglog_file: %s\nbmp_daemon_msglog_output: json\n", r.toldFile())
	if fine {
		l.starts(r)
	}
	return r
}

func (r *BMPCollector) toldFile() string { return filepath.Join(r.dir, "told.json") }

// Up starts the daemon and returns when it listens.
func (r *BMPCollector) Up(ctx context.Context) error {
	path, err := r.writeConfig("pmbmpd.conf", r.config)
	if err != nil {
		return err
	}
	if r.daemon, err = r.Start(ctx, "pmbmpd", "pmbmpd", "-f", path); err != nil {
		return err
	}
	return r.daemon.ready(ctx, func() error {
		log, err := r.daemon.Log()
		if err == nil && !strings.Contains(log, "waiting for BMP data") {
			err = errors.New("it does not listen yet")
		}
		return err
	})
}

// Told is what it has been told since the start, a line of JSON for each message and, of Route
// Monitoring, each prefix; none while nobody has called.
func (r *BMPCollector) Told() ([]string, error) {
	text, err := os.ReadFile(r.toldFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what %s was told: %w", r.name, err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n"), nil
}
