package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stream writes events of package example/p the way `go test -json` does. A line is
// "ACTION TEST OUTPUT"; "-" stands for no test.
func stream(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		fields := strings.SplitN(line, " ", 3)
		event := fmt.Sprintf(`{"Action":%q,"Package":"example/p"`, fields[0])
		if len(fields) > 1 && fields[1] != "-" {
			event += fmt.Sprintf(`,"Test":%q`, fields[1])
		}
		if len(fields) > 2 {
			event += fmt.Sprintf(`,"Output":%q`, fields[2]+"\n")
		}
		b.WriteString(event + "}\n")
	}
	return b.String()
}

// tallied returns what is printed for a stream, and the error that sets the exit status.
func tallied(t *testing.T, in string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(strings.NewReader(in), &out, "")
	return out.String(), err
}

func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

func TestTotalsCountEachTestOnce(t *testing.T) {
	broken := `{"ImportPath":"example/p","Action":"build-output","Output":"p.go:3:1: undefined: x\n"}` + "\n" +
		`{"ImportPath":"example/p","Action":"build-fail"}` + "\n" +
		`{"Action":"start","Package":"example/p"}` + "\n" +
		`{"Action":"fail","Package":"example/p","FailedBuild":"example/p"}` + "\n"
	for name, c := range map[string]struct{ in, want string }{
		"passing":                             {stream("start", "run TestA", "pass TestA", "run TestB", "pass TestB", "pass -"), "2 passed, 0 failed"},
		"subtests instead of their parent":    {stream("start", "run TestA", "run TestA/x", "pass TestA/x", "run TestA/y", "pass TestA/y", "pass TestA", "pass -"), "2 passed, 0 failed"},
		"a subtest with a slash in its name":  {stream("start", "run TestA", "run TestA/x/y", "pass TestA/x/y", "pass TestA", "pass -"), "1 passed, 0 failed"},
		"one failing subtest is one failure":  {stream("start", "run TestA", "run TestA/x", "fail TestA/x", "fail TestA", "fail -"), "0 passed, 1 failed"},
		"a parent that fails by itself":       {stream("start", "run TestA", "run TestA/x", "pass TestA/x", "fail TestA", "fail -"), "1 passed, 1 failed"},
		"skipped":                             {stream("start", "run TestA", "skip TestA", "run TestB", "pass TestB", "pass -"), "1 passed, 0 failed, 1 skipped"},
		"a package without test files":        {stream("start", "output - ?   example/p [no test files]", "skip -"), "0 passed, 0 failed"},
		"a package that does not build":       {broken, "0 passed, 1 failed"},
		"a test cut off by a panic elsewhere": {stream("start", "run TestA", "run TestB", "fail TestA", "fail -"), "0 passed, 2 failed"},
		"a subtest cut off":                   {stream("start", "run TestA", "run TestA/x", "fail -"), "0 passed, 1 failed"},
		"a TestMain that exits with 1":        {stream("start", "run TestA", "pass TestA", "fail -"), "1 passed, 1 failed"},
		"a package cut off by a kill":         {stream("start", "run TestA", "pass TestA"), "1 passed, 1 failed"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := tallied(t, c.in)
			if got := lastLine(out); got != c.want {
				t.Errorf("last line is %q, want %q; all:\n%s", got, c.want, out)
			}
			if good := strings.Contains(c.want, " 0 failed") && !strings.HasPrefix(c.want, "0 "); good != (err == nil) {
				t.Errorf("error is %v after %q", err, c.want)
			}
		})
	}
}

func TestFailedTestIsPrintedInFull(t *testing.T) {
	out, _ := tallied(t, stream("start",
		"run TestA", "output TestA === RUN   TestA", "output TestA     a_test.go:7: want 1", "output TestA panic: got 2", "fail TestA",
		"run TestB", "output TestB     b_test.go:9: quiet", "pass TestB", "fail -"))
	for _, want := range []string{"--- FAIL example/p TestA", "a_test.go:7: want 1\npanic: got 2\n", "Failed:\n  example/p TestA\n    a_test.go:7: want 1\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	for _, unwanted := range []string{"quiet", "=== RUN"} {
		if strings.Contains(out, unwanted) {
			t.Errorf("%q is in:\n%s", unwanted, out)
		}
	}
}

func TestCompilerIsQuotedWhereAPackageDoesNotBuild(t *testing.T) {
	out, _ := tallied(t, `{"ImportPath":"example/p","Action":"build-output","Output":"p.go:3:1: undefined: x\n"}`+"\n"+
		`{"ImportPath":"example/p","Action":"build-fail"}`+"\n")
	if !strings.Contains(out, "p.go:3:1: undefined: x") {
		t.Errorf("the compiler's words are not in:\n%s", out)
	}
}

func TestSkippedTestsAreListedWithTheirReasons(t *testing.T) {
	out, _ := tallied(t, stream("start", "run TestA", "output TestA     a_test.go:7: needs root: run it with sudo",
		"output TestA --- SKIP: TestA (0.00s)", "skip TestA", "run TestB", "skip TestB", "pass -"))
	want := "Skipped:\n  example/p TestA: needs root: run it with sudo\n  example/p TestB: no reason given\n"
	if !strings.Contains(out, want) {
		t.Errorf("no %q in:\n%s", want, out)
	}
}

func TestAttributesAndSlowTestsAreListed(t *testing.T) {
	in := `{"Action":"attr","Package":"example/p","Test":"TestA","Key":"announced","Value":"137 ms"}` + "\n" +
		`{"Action":"pass","Package":"example/p","Test":"TestA","Elapsed":2.5}` + "\n" +
		`{"Action":"pass","Package":"example/p","Test":"TestB","Elapsed":0.5}` + "\n"
	out, _ := tallied(t, in)
	want := "Measured:\n  example/p TestA: announced 137 ms\n\nSlowest:\n      2.5 s  example/p TestA\n"
	if !strings.Contains(out, want) || strings.Contains(out, "0.5 s") {
		t.Errorf("no %q, or a quick test, in:\n%s", want, out)
	}
}

func TestEmptyOrForeignInputIsAFailure(t *testing.T) {
	for _, in := range []string{"", "ok  \texample/p\t0.1s\n"} {
		if out, err := tallied(t, in); err == nil || !strings.HasPrefix(out, in) {
			t.Errorf("input %q: error %v, output %q", in, err, out)
		}
	}
}

func TestTotalsGoToTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "totals")
	err := run(strings.NewReader(stream("start", "run TestA", "pass TestA", "pass -")), &strings.Builder{}, file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "1 passed, 0 failed\n" {
		t.Errorf("file holds %q, %v", got, err)
	}
}
