package lab

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBinaryIsWhatTheEnvironmentNames(t *testing.T) {
	t.Setenv("FAIRWAY_BIN", "testdata/greeter/main.go")
	if path := Binary(t); !filepath.IsAbs(path) || !strings.HasSuffix(path, "greeter/main.go") {
		t.Errorf("got %s", path)
	}
	t.Setenv("FAIRWAY_BIN", "/nonexistent/fairway")
	if _, err := Build(t.Context()); err == nil || !strings.Contains(err.Error(), "FAIRWAY_BIN") {
		t.Errorf("got %v for a binary that is not there", err)
	}
}

func TestCompileBuildsWhatRuns(t *testing.T) {
	goCache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(goCache))) // found by the next otherwise
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	path, err := compile(t.Context(), "./test/lab/testdata/greeter")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), path).Output(); err != nil || string(out) != "hello\n" {
		t.Errorf("it says %q (%v)", out, err)
	}
	if _, err := compile(t.Context(), "./test/lab/testdata/missing"); err == nil {
		t.Error("a missing command was built")
	}
}
