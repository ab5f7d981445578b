package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// table is what is known of all cells: row by row, column by column.
type table struct {
	rows    []string
	columns []string
	cells   map[place]entry
	// versions are what the daemons say of themselves, by column.
	versions map[string]string
}

// place is a cell's.
type place struct{ row, column string }

// entry is what the table says in a place.
type entry struct {
	verdict verdict
	why     string
}

func (t *table) set(at place, e entry) {
	if t.cells == nil {
		t.cells = map[place]entry{}
	}
	t.cells[at] = e
}

const preamble = `# Interoperability

Written by ` + "`make interop`" + `. Each cell is a session between the built agent, which reads its configuration from a folder, and the real
daemon, in network namespaces. ` + "`n/a`" + ` is a feature that the peer does not have, with its own words for it below the table.
FRR and BIRD forward here; GoBGP and OpenBGPD write nothing into their kernel. ExaBGP is no router but a script: rows that need more have ` + "`–`" + ` there. GoBGP sends no router advertisements: as its
documentation says, radvd does beside it. The BMP collector is pmacct's pmbmpd.
` + "`make test`" + ` runs some of the cells again and compares; ` + "`make test-long`" + ` all of them.

`

// markdown is RESULTS.md.
func (t *table) markdown() string {
	var b strings.Builder
	b.WriteString(preamble)
	for _, column := range t.columns {
		fmt.Fprintf(&b, "- %s: %s\n", column, t.versions[column])
	}
	b.WriteString("\n| feature |")
	for _, column := range t.columns {
		b.WriteString(" " + column + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(t.columns)) + "\n")
	var notes []string
	for _, row := range t.rows {
		b.WriteString("| " + row + " |")
		for _, column := range t.columns {
			e := t.cells[place{row, column}]
			b.WriteString(" " + string(e.verdict))
			if e.verdict == never {
				notes = append(notes, column+", "+row+": `"+e.why+"`")
				fmt.Fprintf(&b, " (%d)", len(notes))
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	for i, note := range notes {
		fmt.Fprintf(&b, "%s%d. %s\n", map[bool]string{true: "\n"}[i == 0], i+1, note)
	}
	return b.String()
}

var (
	versionLine = regexp.MustCompile("(?m)^- ([^:]+): (.*)$")
	noteLine    = regexp.MustCompile("(?m)^[0-9]+[.] (.*): `(.*)`$")
)

// readTable reads what markdown has written.
func readTable(text string) (*table, error) {
	t := &table{versions: map[string]string{}}
	for _, found := range versionLine.FindAllStringSubmatch(text, -1) {
		t.versions[found[1]] = found[2]
	}
	notes := map[string]string{}
	for _, found := range noteLine.FindAllStringSubmatch(text, -1) {
		notes[found[1]] = found[2]
	}
	for line := range strings.Lines(text) {
		fields, isRow := strings.CutPrefix(strings.TrimSpace(line), "| ")
		if !isRow {
			continue
		}
		words := strings.Split(strings.TrimSuffix(fields, "|"), " |")
		if t.columns == nil {
			for _, column := range words[1:] {
				t.columns = append(t.columns, strings.TrimSpace(column))
			}
			continue
		}
		if len(words) != len(t.columns)+1 {
			return nil, fmt.Errorf("the row %q has %d cells, want %d", line, len(words)-1, len(t.columns))
		}
		t.rows = append(t.rows, words[0])
		for i, column := range t.columns {
			word, _, _ := strings.Cut(strings.TrimSpace(words[i+1]), " ")
			t.set(place{words[0], column}, entry{verdict(word), notes[column+", "+words[0]]})
		}
	}
	if t.columns == nil {
		return nil, errors.New("there is no table")
	}
	return t, nil
}

// worse says why a cell fails a run after which the table was this one, "" when it does not. One that
// passed does where it is n/a now, and one that is n/a for another reason: somebody has to look at it, and takes the cell out of the table if that is right.
func (t *table) worse(at place, r result) string {
	_, known := t.cells[at]
	switch {
	case r.verdict == fail:
		return fmt.Sprintf("%s, %s: %s", at.column, at.row, r.why)
	case r.verdict == never && known:
		return t.differs(at, r)
	}
	return ""
}

// differs says how a cell that was run differs from the table, "" when it does not.
func (t *table) differs(at place, r result) string {
	want, known := t.cells[at]
	switch {
	case !known:
		return fmt.Sprintf("%s, %s: the table has no such cell; run make interop", at.column, at.row)
	case want.verdict != r.verdict, r.verdict == never && want.why != shortened(r.why):
		return fmt.Sprintf("%s, %s: %s (%s), and the table says %s (%s)", at.column, at.row, r.verdict, r.why, want.verdict, want.why)
	}
	return ""
}
