package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is a line of `go test -json`: a TestEvent of `go doc test2json`, or a
// BuildEvent of `go help buildjson`.
type event struct {
	Action, Package, Test, Output string
	Key, Value                    string // of Action attr
	Elapsed                       float64
	ImportPath, FailedBuild       string
}

type testID struct{ pkg, name string }

func (id testID) String() string { return shortPackage(id.pkg) + " " + id.name }

// running is a test that has not ended.
type running struct {
	output       []string
	subtests     bool
	failedWithin bool // one of its subtests failed
}

// pack is a package whose tests have not all ended.
type pack struct {
	output                  []string // what belongs to no test
	cached                  bool
	passed, failed, skipped int
}

// note is one line of the summary about a test.
type note struct {
	test    testID
	text    string
	seconds float64
}

// tally counts each test once: a test with subtests counts through them, unless it
// failed by itself. A package that fails without any of its tests failing, because it
// does not build or its TestMain exits, counts as one failure.
type tally struct {
	out      io.Writer
	tests    map[testID]*running
	packages map[string]*pack
	builds   map[string][]string // output of the compiler by package, until it fails

	passed, failed, skipped int
	failures                []string // lines of the summary
	skips, measured, slow   []note
}

func newTally(out io.Writer) *tally {
	return &tally{
		out:      out,
		tests:    map[testID]*running{},
		packages: map[string]*pack{},
		builds:   map[string][]string{},
	}
}

// read takes in the stream. Lines that are no events are passed on.
func (t *tally) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Action == "":
			fmt.Fprint(t.out, string(line))
		default:
			t.add(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the test events: %w", err)
		}
	}
}

func (t *tally) add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		t.builds[e.ImportPath] = append(t.builds[e.ImportPath], e.Output)
	case "build-fail":
		t.print("--- FAIL "+shortPackage(e.ImportPath)+" [does not build]", t.builds[e.ImportPath])
		delete(t.builds, e.ImportPath)
	case "start":
		t.pack(e.Package)
	case "run":
		t.test(id)
	case "attr":
		t.measured = append(t.measured, note{test: id, text: e.Key + " " + e.Value})
	case "output":
		t.addOutput(id, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endPackage(e)
		} else {
			t.endTest(id, e.Action, e.Elapsed)
		}
	}
}

func (t *tally) pack(name string) *pack {
	p, ok := t.packages[name]
	if !ok {
		p = &pack{}
		t.packages[name] = p
	}
	return p
}

func (t *tally) test(id testID) *running {
	r, ok := t.tests[id]
	if !ok {
		r = &running{}
		t.tests[id] = r
		if parent := t.parent(id); parent != nil {
			parent.subtests = true
		}
	}
	return r
}

// parent returns the test that a subtest belongs to; nil for others. It is found among
// those that run, since a subtest's own name may hold slashes too.
func (t *tally) parent(id testID) *running {
	for name := id.name; ; {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return nil
		}
		name = name[:i]
		if r, ok := t.tests[testID{id.pkg, name}]; ok {
			return r
		}
	}
}

func (t *tally) addOutput(id testID, output string) {
	for _, chatter := range []string{"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME ", "=== ATTR "} {
		if strings.HasPrefix(output, chatter) {
			return
		}
	}
	if id.name != "" {
		r := t.test(id)
		r.output = append(r.output, output)
		return
	}
	p := t.pack(id.pkg)
	p.output = append(p.output, output)
	if strings.HasPrefix(output, "ok ") && strings.Contains(output, "(cached)") {
		p.cached = true
	}
}

func (t *tally) endTest(id testID, action string, seconds float64) {
	r, p := t.test(id), t.pack(id.pkg)
	delete(t.tests, id)
	if action == "fail" {
		t.failTest(id, r, fmt.Sprintf("%.2f s", seconds))
		return
	}
	if r.subtests && action == "pass" {
		return
	}
	t.slow = append(t.slow, note{test: id, seconds: seconds})
	if action == "pass" {
		t.passed++
		p.passed++
		return
	}
	t.skipped++
	p.skipped++
	t.skips = append(t.skips, note{test: id, text: reason(r.output)})
}

// failTest prints a failed test and counts it unless one of its subtests was counted.
func (t *tally) failTest(id testID, r *running, how string) {
	t.print(fmt.Sprintf("--- FAIL %s (%s)", id, how), r.output)
	if parent := t.parent(id); parent != nil {
		parent.failedWithin = true
	}
	if !r.failedWithin {
		t.failed++
		t.pack(id.pkg).failed++
		t.failures = append(append(t.failures, id.String()), words(r.output)...)
	}
}

// endPackage counts tests that never ended, as after a panic, as failed.
func (t *tally) endPackage(e event) {
	p := t.pack(e.Package)
	for _, id := range t.unended(e.Package) {
		r := t.tests[id]
		delete(t.tests, id)
		t.failTest(id, r, "did not end")
	}
	delete(t.packages, e.Package)
	if e.Action == "fail" && p.failed == 0 {
		if e.FailedBuild == "" {
			t.print("--- FAIL "+shortPackage(e.Package)+" [no test of it failed]", p.output)
		}
		t.failed++
		t.failures = append(t.failures, shortPackage(e.Package))
	}
	if e.Action == "skip" && p.passed+p.failed+p.skipped == 0 {
		return // no test files
	}
	t.packageLine(e, p)
}

func (t *tally) packageLine(e event, p *pack) {
	word, more := "ok  ", ""
	if e.Action == "fail" {
		word = "FAIL"
	}
	if p.failed > 0 {
		more += fmt.Sprintf(", %d failed", p.failed)
	}
	if p.skipped > 0 {
		more += fmt.Sprintf(", %d skipped", p.skipped)
	}
	if p.cached {
		more += " (cached)"
	}
	fmt.Fprintf(t.out, "%s %7.1f s  %s: %d passed%s\n", word, e.Elapsed, shortPackage(e.Package), p.passed, more)
}

// unended returns the tests of a package that have not ended, subtests first.
func (t *tally) unended(pkg string) []testID {
	var ids []testID
	for id := range t.tests {
		if id.pkg == pkg {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b testID) int { return strings.Compare(b.name, a.name) })
	return ids
}

// end counts packages that never ended, as when `go test` was killed, as failed.
func (t *tally) end() {
	var left []string
	for name := range t.packages {
		left = append(left, name)
	}
	slices.Sort(left)
	for _, name := range left {
		t.endPackage(event{Action: "fail", Package: name})
	}
}

func (t *tally) verdict() error {
	switch {
	case t.failed > 0:
		return fmt.Errorf("%d failed", t.failed)
	case t.passed == 0:
		return errors.New("no test passed; was the input the output of `go test -json`?")
	}
	return nil
}
