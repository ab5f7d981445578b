package memory

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSessionsAreRememberedWithinABootOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.json")
	f := Sessions{Path: path, BootID: "one"}
	if _, known := f.Load(); known {
		t.Error("without a file something is known")
	}
	for _, want := range [][]string{{"a", "b"}, {"a"}, {}} {
		if err := f.Store(want); err != nil {
			t.Fatal(err)
		}
		if got, known := f.Load(); !known || !slices.Equal(got, want) {
			t.Errorf("got %v, %t, want %v", got, known, want)
		}
	}
	for _, other := range []Sessions{{Path: path, BootID: "two"}, {Path: path}} {
		if got, known := other.Load(); known || len(got) > 0 {
			t.Errorf("after a reboot %v is known", got)
		}
	}
	if err := f.Store([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	if got, known := (Sessions{Path: path, BootID: "two"}).Load(); known || !slices.Equal(got, []string{"a"}) {
		t.Errorf("after a reboot %v is remembered, known %v", got, known)
	}
	for _, text := range []string{"", "{", `{"sessions":["a"]}`, `[]`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, known := (Sessions{Path: path}).Load(); known {
			t.Errorf("%q: %v is known", text, got)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// An old memory is worse than none: it may name fewer sessions than were up.
func TestSessionsThatCannotBeKeptAreForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "sessions.json")
	f := Sessions{Path: path, BootID: "one"}
	if err := f.Store([]string{"a"}); err == nil {
		t.Error("nothing is said of a folder that does not exist")
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.Store([]string{"a"}); err == nil {
		t.Error("nothing is said of a folder in the way")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("what was there is still there: %v", err)
	}
}
