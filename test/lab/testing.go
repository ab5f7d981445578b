package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/test/namespace"
)

// New makes a lab for one test. It is closed when the test ends, and when the
// test has failed, the end of every log is printed. A machine that cannot run
// labs skips the test, see Unavailable.
func New(t testing.TB) *Lab {
	t.Helper()
	NeedRoot(t)
	l, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		giveUp(t, err)
	}
	l.fail = func(err error) {
		t.Helper()
		giveUp(t, err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(l.Logs(40))
		}
	})
	return l
}

func giveUp(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrUnavailable) {
		Unavailable(t, err.Error())
	}
	t.Fatal(err)
}

// Unavailable skips a test that this machine cannot run, visibly. Where nothing
// may be missing, with CI or FAIRWAY_REQUIRE_ROOT=1 in the environment, it fails
// the test instead.
func Unavailable(t testing.TB, reason string) {
	t.Helper()
	namespace.Unavailable(t, reason)
}

// NeedRoot ends a test that does not run as root, see Unavailable.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Unavailable(t, "needs root to make network namespaces: run the tests with sudo")
	}
}

// Logs is the last lines of every log of the lab.
func (l *Lab) Logs(lines int) string {
	var out strings.Builder
	_ = filepath.WalkDir(l.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".log" {
			text, _ := os.ReadFile(path) // one that cannot be read must not hide the others
			if name, _ := filepath.Rel(l.dir, path); len(text) > 0 {
				out.WriteString("--- " + name + "\n" + lastLines(string(text), lines) + "\n")
			}
		}
		return nil
	})
	return out.String()
}
