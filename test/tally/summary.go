package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	slowSeconds = 1.0 // from here on a test is slow
	slowMost    = 10  // how many slow tests are named
	wordsMost   = 8   // how many lines of a failed test are repeated
)

// summary prints what is worth knowing when all is over; the totals come last.
func (t *tally) summary() {
	t.notes("Measured:", t.measured, func(n note) string { return fmt.Sprintf("%s: %s", n.test, n.text) })
	t.notes("Slowest:", slowest(t.slow), func(n note) string { return fmt.Sprintf("%7.1f s  %s", n.seconds, n.test) })
	t.notes("Skipped:", t.skips, func(n note) string { return fmt.Sprintf("%s: %s", n.test, n.text) })
	if len(t.failures) > 0 {
		fmt.Fprintf(t.out, "\nFailed:\n  %s\n", strings.Join(t.failures, "\n  "))
	}
	fmt.Fprintf(t.out, "\n%s\n", t.totals())
}

func (t *tally) totals() string {
	line := fmt.Sprintf("%d passed, %d failed", t.passed, t.failed)
	if t.skipped > 0 {
		line += fmt.Sprintf(", %d skipped", t.skipped)
	}
	return line
}

func (t *tally) notes(title string, notes []note, line func(note) string) {
	if len(notes) == 0 {
		return
	}
	fmt.Fprintf(t.out, "\n%s\n", title)
	for _, n := range notes {
		fmt.Fprintf(t.out, "  %s\n", line(n))
	}
}

func slowest(all []note) []note {
	slow := slices.DeleteFunc(slices.Clone(all), func(n note) bool { return n.seconds < slowSeconds })
	slices.SortStableFunc(slow, func(a, b note) int { return cmp.Compare(b.seconds, a.seconds) })
	return slow[:min(slowMost, len(slow))]
}

// print prints a heading and output below it.
func (t *tally) print(heading string, output []string) {
	text := strings.TrimRight(strings.Join(output, ""), "\n")
	if text != "" {
		text += "\n"
	}
	fmt.Fprintf(t.out, "%s\n%s", heading, text)
}

// words returns the last lines that a failed test itself said, for the logs of daemons may stand
// between them and the end.
func words(output []string) (said []string) {
	for _, line := range output {
		if position.MatchString(line) {
			said = append(said, "  "+strings.TrimSpace(line))
		}
	}
	return said[max(0, len(said)-wordsMost):]
}

// position is where t.Skip, or the like, was called.
var position = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// reason returns what a skipped test said, on one line.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(position.ReplaceAllString(line, ""))
		if line != "" && !strings.HasPrefix(line, "--- SKIP") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

// shortPackage leaves the module's name away.
func shortPackage(path string) string {
	return strings.TrimPrefix(path, "github.com/fairway-bgp/fairway/")
}
