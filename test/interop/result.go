package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// verdict is what a cell of the table says.
type verdict string

const (
	pass  verdict = "pass"
	fail  verdict = "fail"
	never verdict = "n/a"
	// unscripted is a row that needs a router, with a peer that is none.
	unscripted verdict = "–"
)

// result is what came of a cell.
type result struct {
	verdict verdict
	why     string // of a failure, or in the peer's words why it is n/a
	version string
	took    time.Duration
	logs    string // of a failure
}

// notAvailable is an error that says, in the peer's own words, that it lacks a feature.
type notAvailable struct{ said string }

func (e notAvailable) Error() string { return "the peer lacks it: " + e.said }

// refused is the error of a router that did not come up. One that ended or complained over
// its configuration lacks the feature, for the plain configuration is accepted by all.
func refused(err error) error {
	if errors.Is(err, lab.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	if said := complaint(err.Error()); said != "" {
		return notAvailable{said}
	}
	return err
}

// What the parsers say: FRR's "line 14: % Unknown command[4]: ...", BIRD's and OpenBGPD's
// "FILE:12:5 syntax error", and gobgpd's last words.
var (
	frrComplaint   = regexp.MustCompile(`line \d+: .*`)
	fileComplaint  = regexp.MustCompile(`(\S+/(?:bird|bgpd)\.conf):(\d+)(?::\d+)?:? (.+)`)
	gobgpComplaint = regexp.MustCompile(`"[Ee]rror":"([^"]+)"`)
)

func complaint(text string) string {
	if found := frrComplaint.FindString(text); found != "" {
		return found
	}
	if found := fileComplaint.FindStringSubmatch(text); found != nil {
		return fmt.Sprintf("%s: %s, at %q", filepath.Base(found[1]), found[3], lineOf(found[1], found[2]))
	}
	if found := gobgpComplaint.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

// lineOf is a line of a file, counted from 1.
func lineOf(file, number string) string {
	text, err := os.ReadFile(file)
	n, bad := strconv.Atoi(number)
	if lines := strings.Split(string(text), "\n"); errors.Join(err, bad) == nil && n >= 1 && n <= len(lines) {
		return strings.TrimSpace(lines[n-1])
	}
	return ""
}

// cellTime bounds a cell, whatever it waits for.
const cellTime = 2 * time.Minute

// judge runs a cell. The error is about this machine, and not about the cell.
func judge(ctx context.Context, f feature, with implementation) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, cellTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return result{}, fmt.Errorf("making a folder for the lab: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	began := time.Now()
	c, err := newCell(ctx, f, with, dir)
	var r result
	if err == nil {
		r.version, err = c.router.version(ctx)
	}
	if err == nil {
		err = f.check(c)
	}
	var lacks notAvailable
	switch {
	case errors.Is(err, lab.ErrUnavailable):
		return r, err
	case err == nil:
		r.verdict = pass
	case errors.As(err, &lacks):
		r.verdict, r.why = never, lacks.said
	default:
		r.verdict, r.why = fail, err.Error()
		if c != nil && c.router != nil {
			r.logs = c.everything()
		}
	}
	r.took = time.Since(began)
	if c != nil {
		return r, c.Close()
	}
	return r, nil
}

// everything is what there is to look at after a failure.
func (c *cell) everything() string {
	var b strings.Builder
	b.WriteString(c.Logs(60))
	for _, command := range []string{"gobgp neighbor", "gobgp neighbor " + routerIPv4 + " adj-in", "gobgp neighbor " + routerIPv6 + " adj-in", "gobgp global rib", "gobgp global rib -a ipv6", "ip route", "ip -6 route"} {
		out, err := c.node.Run(context.WithoutCancel(c.ctx), strings.Fields(command)...)
		fmt.Fprintf(&b, "--- %s (%v)\n%s\n", command, err, out)
	}
	theirs, err := c.router.view(context.WithoutCancel(c.ctx), c.config.sessions[0].address)
	fmt.Fprintf(&b, "--- the router's session (%v)\n%s\n", err, theirs.text)
	files, _ := filepath.Glob(filepath.Join(c.Dir(), "*", "*.conf"))
	more, _ := filepath.Glob(filepath.Join(c.Dir(), "*", "*.toml"))
	states, _ := filepath.Glob(filepath.Join(c.state(), "status", "*.yaml"))
	for _, file := range append(append(append(files, more...), states...), filepath.Join(c.folder, "all.yaml")) {
		text, err := os.ReadFile(file)
		if err == nil {
			fmt.Fprintf(&b, "--- %s\n%s\n", file, text)
		}
	}
	return b.String()
}
