package memory

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/controller"
)

// What a controller.Loop works with.
var (
	_ controller.Memory[[]string]          = File[[]string]{}
	_ controller.Memory[[]netip.Prefix]    = File[[]netip.Prefix]{}
	_ controller.Memory[controller.Trials] = File[controller.Trials]{}
)

func TestWhatIsKeptIsOfThisBootUntilTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.json")
	f := File[[]string]{Path: path, BootID: "one"}
	if got, known := f.Load(); known || got != nil {
		t.Errorf("without a file %v is known", got)
	}
	for _, want := range [][]string{{"a", "b"}, {"a"}, {}, nil} {
		if err := f.Store(want); err != nil {
			t.Fatal(err)
		}
		if got, known := f.Load(); !known || !slices.Equal(got, want) {
			t.Errorf("got %v, %t, want %v", got, known, want)
		}
	}
	if err := f.Store([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	for _, other := range []File[[]string]{{Path: path, BootID: "two"}, {Path: path}} {
		if got, known := other.Load(); known || !slices.Equal(got, []string{"a"}) {
			t.Errorf("after a reboot %v is remembered, known %t", got, known)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestAFileThatCannotBeReadIsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "announced.json")
	f := File[[]netip.Prefix]{Path: path, BootID: "one"}
	for text, want := range map[string]bool{
		"": false, "{": false, "[]": false, `{"bootID":"one"}`: false, `{"bootID":"one","prefixes":["10.96.0.1/32"]}`: false,
		`{"kept":["10.96.0.1/32"]}`: false, `{"bootID":"one","kept":["10.96.0.1/32","no"]}`: false, `{"bootID":"one","kept":["10.96.0.1/32"]}`: true,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, known := f.Load(); known != want {
			t.Errorf("%q: %v, known %t", text, got, known)
		}
	}
	if got, _ := (File[[]netip.Prefix]{Path: path + ".other"}).Load(); got != nil {
		t.Errorf("%v", got)
	}
}

// A process that knows no boot keeps what it keeps for no boot.
func TestWithoutABootNothingIsOfIt(t *testing.T) {
	f := File[[]string]{Path: filepath.Join(t.TempDir(), "sessions.json")}
	if err := f.Store([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	if got, known := f.Load(); known || !slices.Equal(got, []string{"a"}) {
		t.Errorf("%v is remembered, known %t", got, known)
	}
}

func TestTrialsOutliveABoot(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	path := filepath.Join(t.TempDir(), "trials.json")
	for _, want := range []controller.Trials{
		{},
		{Begun: []controller.Trial{{Peer: "tor/192.0.2.1", Spec: "1f"}, {Peer: "mesh/b/2001:db8::1"}}, At: at, Apart: at.Add(time.Minute)},
		{Blamed: map[string]controller.Blame{"tor/192.0.2.1": {Spec: "1f", Times: 2, Last: at, Until: at.Add(time.Hour)}, "b/192.0.2.2": {Times: 1, Last: at}}},
	} {
		if err := (File[controller.Trials]{Path: path, BootID: "one"}).Store(want); err != nil {
			t.Fatal(err)
		}
		if got, _ := (File[controller.Trials]{Path: path, BootID: "two"}).Load(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// An old memory may be worse than none: it may name fewer sessions than were up, or addresses that have been
// withdrawn since.
func TestWhatCannotBeKeptIsForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "sessions.json")
	f := File[[]string]{Path: path, BootID: "one"}
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
	if err := f.Store([]string{"a"}); err != nil {
		t.Errorf("the next time: %v", err)
	}
}

// unspeakable is a value that cannot be written down.
type unspeakable struct{ F func() }

func TestAnOldValueStaysWhereItIsMeantTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trials.json")
	for _, keep := range []bool{true, false} {
		if err := (File[string]{Path: path}).Store("old"); err != nil {
			t.Fatal(err)
		}
		if err := (File[unspeakable]{Path: path, KeepOld: keep}).Store(unspeakable{}); err == nil {
			t.Error("it is said to be kept")
		}
		if got, _ := (File[string]{Path: path}).Load(); (got == "old") != keep {
			t.Errorf("keep %t: %q is known", keep, got)
		}
	}
}
