// Command tally reads the stream of `go test -json` and says what became of the tests.
//
//	go test -json ./... | go run ./test/tally [-totals FILE]
//
// It prints a line for each package as it ends and the whole output of each failed
// test; then what tests measured, the slowest of them, and those that were skipped, with
// their reasons. The last line is "N passed, N failed", with ", N skipped" where some
// were; -totals writes the same line to a file. The exit status is 0 only where tests
// ran and none failed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	totals := flag.String("totals", "", "write the last line to this `file` as well")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "tally: it reads standard input and takes no arguments:", flag.Args())
		os.Exit(2)
	}
	if err := run(os.Stdin, os.Stdout, *totals); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, totals string) error {
	t := newTally(out)
	readErr := t.read(in)
	t.end()
	t.summary()
	if totals != "" {
		if err := os.WriteFile(totals, []byte(t.totals()+"\n"), 0o644); err != nil {
			return errors.Join(readErr, err)
		}
	}
	if readErr != nil {
		return readErr
	}
	return t.verdict()
}
