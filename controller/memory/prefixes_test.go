package memory

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWhatIsAnnouncedIsRememberedWithinABootOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "announced.json")
	f := Prefixes{Path: path, BootID: "one"}
	if _, known := f.Load(); known {
		t.Error("without a file something is known")
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.96.0.1/32"), netip.MustParsePrefix("2001:db8::1/128")}
	for n := range 3 {
		if err := f.Store(want[:n]); err != nil {
			t.Fatal(err)
		}
		if got, known := f.Load(); !known || !slices.Equal(got, want[:n]) {
			t.Errorf("got %v, %t, want %v", got, known, want[:n])
		}
	}
	for _, other := range []Prefixes{{Path: path, BootID: "two"}, {Path: path}} {
		if got, known := other.Load(); known {
			t.Errorf("after a reboot %v is known", got)
		}
	}
	for _, text := range []string{"", "{", `{"prefixes":["10.96.0.1/32"]}`, `{"bootID":"one","prefixes":["no"]}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, known := f.Load(); known {
			t.Errorf("%q: %v is known", text, got)
		}
	}
}

// An old memory is worse than none: it may name addresses that have been withdrawn since.
func TestWhatIsAnnouncedAndCannotBeKeptIsForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "announced.json")
	f := Prefixes{Path: path, BootID: "one"}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.Store(nil); err == nil {
		t.Error("nothing is said of a folder in the way")
	}
	if _, known := f.Load(); known {
		t.Error("what could not be kept is known")
	}
	if err := f.Store(nil); err != nil {
		t.Errorf("the next time: %v", err)
	}
}
