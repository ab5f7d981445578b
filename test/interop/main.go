// Command interop holds sessions between the built agent and the real daemons of other
// implementations, one for each feature and implementation, prints what came of them as a
// table, and writes that to RESULTS.md:
//
//	go run ./test/interop [-rows REGEXP] [-columns REGEXP] [-parallel N] [-v] [-write=false]
//
// With -rows or -columns the other cells of the table stay as they are. The exit status is 1
// when a cell fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
)

const resultsFile = "test/interop/RESULTS.md"

// options say which cells are run, and how.
type options struct {
	rows, columns *regexp.Regexp
	parallel      int
	verbose       bool
	write         bool
}

func main() {
	rows := flag.String("rows", "", "run rows whose name matches alone")
	columns := flag.String("columns", "", "run implementations whose name matches alone")
	o := options{}
	flag.IntVar(&o.parallel, "parallel", 4, "how many cells run at once")
	flag.BoolVar(&o.verbose, "v", false, "print the logs of cells that fail")
	flag.BoolVar(&o.write, "write", true, "write "+resultsFile)
	flag.Parse()
	o.rows, o.columns = regexp.MustCompile(*rows), regexp.MustCompile(*columns)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failures, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
	if failures > 0 {
		fmt.Fprintf(os.Stderr, "interop: %d cells fail\n", failures)
		os.Exit(1)
	}
}

// job is a cell to run.
type job struct {
	feature feature
	with    implementation
}

func (j job) at() place { return place{j.feature.name, j.with.name} }

// jobs are the cells of rows and columns whose names match.
func jobs(rows, columns *regexp.Regexp) []job {
	var out []job
	for _, f := range features() {
		for _, with := range implementations {
			if (f.scripted || !with.scripted) && rows.MatchString(f.name) && columns.MatchString(with.name) {
				out = append(out, job{f, with})
			}
		}
	}
	return out
}

// run runs cells, prints the table and writes it.
func run(ctx context.Context, o options) (failures int, err error) {
	results, versions, err := runAll(ctx, jobs(o.rows, o.columns), o.parallel, func(j job, r result) {
		fmt.Fprintf(os.Stderr, "%-4s %5.1f s  %s: %s %s\n", r.verdict, r.took.Seconds(), j.with.name, j.feature.name, shortened(r.why))
		if o.verbose && r.verdict == fail {
			fmt.Fprintln(os.Stderr, r.why+"\n"+r.logs)
		}
	})
	if err != nil {
		return 0, err
	}
	last, err := lastTable()
	if err != nil {
		return 0, err
	}
	t := begin(o, last)
	maps.Copy(t.versions, versions)
	for at, r := range results {
		e := entry{r.verdict, shortened(r.why)}
		if worse := last.worse(at, r); worse != "" {
			fmt.Fprintln(os.Stderr, worse)
			failures++
			if r.verdict == never { // or the next run would find nothing wrong
				e = last.cells[at]
			}
		}
		t.set(at, e)
	}
	text := t.markdown()
	fmt.Println(text)
	if o.write {
		err = os.WriteFile(resultsFile, []byte(text), 0o644)
	}
	return failures, err
}

// lastTable is that of the last run, an empty one before the first.
func lastTable() (*table, error) {
	text, err := os.ReadFile(resultsFile)
	if errors.Is(err, os.ErrNotExist) {
		return &table{}, nil
	}
	var last *table
	if err == nil {
		last, err = readTable(string(text))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last table: %w", err)
	}
	return last, nil
}

// begin is the table of the last run where only a part of the cells is run, else an empty one.
func begin(o options, last *table) *table {
	t := &table{versions: map[string]string{}}
	if o.rows.String()+o.columns.String() != "" {
		maps.Copy(t.versions, last.versions)
		t.cells = maps.Clone(last.cells)
	}
	for _, with := range implementations {
		t.columns = append(t.columns, with.name)
	}
	for _, f := range features() {
		t.rows = append(t.rows, f.name)
		for _, with := range implementations {
			if with.scripted && !f.scripted {
				t.set(place{f.name, with.name}, entry{verdict: unscripted})
			}
		}
	}
	return t
}

// shortened is one line of at most 160 characters.
func shortened(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 160 {
		return text[:157] + "..."
	}
	return text
}

// runAll runs cells, a few at once, and tells each as it is done. versions are what the
// daemons say of themselves.
func runAll(ctx context.Context, jobs []job, parallel int, done func(job, result)) (results map[place]result, versions map[string]string, err error) {
	results, versions = map[place]result{}, map[string]string{}
	var mu sync.Mutex
	var all errgroup.Group
	all.SetLimit(parallel)
	for _, j := range jobs {
		all.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			r, err := judge(ctx, j.feature, j.with)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", j.with.name, j.feature.name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			results[j.at()] = r
			if r.version != "" {
				versions[j.with.name] = r.version
			}
			done(j, r)
			return nil
		})
	}
	return results, versions, all.Wait()
}
