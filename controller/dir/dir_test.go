package dir_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairway-bgp/fairway/controller/dir"
	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a folder of manifests, a state folder, and the log of what reads them.
type world struct {
	t          *testing.T
	path, keep string
	log        *logBuffer
	source     *dir.Source
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "manifests"), keep: t.TempDir(), log: &logBuffer{}}
	if err := os.Mkdir(w.path, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) write(name, content string) {
	w.t.Helper()
	next := filepath.Join(w.path, ".next")
	if err := os.WriteFile(next, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(w.path, name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.RemoveAll(filepath.Join(w.path, name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) new() (*dir.Source, error) {
	log := slog.New(slog.NewTextHandler(w.log, nil))
	return dir.New(dir.Options{Path: w.path, StateDir: w.keep, NodeName: "node-a", Log: log})
}

// open makes a source that has read the folder once, as after a start.
func (w *world) open() {
	w.t.Helper()
	source, err := w.new()
	if err != nil {
		w.t.Fatal(err)
	}
	w.source = source
}

// start opens a source and runs it until the test ends.
func (w *world) start() {
	w.t.Helper()
	w.open()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	source := w.source // a restart in the test puts another in its place
	go func() { done <- source.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
}

func (w *world) speakers() string {
	snap, _ := w.source.Snapshot()
	var names []string
	for name, s := range snap.Speakers {
		names = append(names, fmt.Sprintf("%s=%d", name, *s.Spec.LocalASN))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (w *world) state() report.Source {
	_, state := w.source.Snapshot()
	return state
}

// eventually waits on the source's own channel until what holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-w.source.Changed():
		case <-deadline:
			w.t.Fatalf("%s: never; speakers %q, state %+v\n%s", what, w.speakers(), w.state(), w.log)
		}
	}
}

func (w *world) eventuallySpeakers(want string) {
	w.t.Helper()
	w.eventually("speakers "+want, func() bool { return w.speakers() == want })
}

func speaker(name string, asn int) string {
	return fmt.Sprintf("apiVersion: bgp.fairway.dev/v1alpha1\nkind: BGPSpeaker\nmetadata: {name: %s}\nspec: {localASN: %d}\n", name, asn)
}

const nodeA = "apiVersion: v1\nkind: Node\nmetadata: {name: node-a}\n"

const broken = "apiVersion: bgp.fairway.dev/v1alpha1\nkind: BGPSpeaker\nmetadata: {name: [}\n"

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestNewSaysWhatToDoWhenThereIsNothingToBeginWith(t *testing.T) {
	absent := newWorld(t)
	absent.remove("")
	empty := newWorld(t)
	empty.write("notes.txt", "hello")
	empty.write(".hidden.yaml", nodeA)
	file := newWorld(t)
	file.write("f", "")
	file.path = filepath.Join(file.path, "f")
	unusable := newWorld(t)
	unusable.write("a.yaml", broken)
	rejected := newWorld(t)
	rejected.write("a.yaml", strings.Replace(speaker("one", 9), "9", "nine", 1))
	for name, c := range map[string]struct {
		world *world
		want  string
	}{
		"absent":   {absent, "no such file or directory; put the manifests there, or name another folder with --source=dir:PATH"},
		"empty":    {empty, "holds no manifests (*.yaml, *.yml, *.json); put the manifests there"},
		"no dir":   {file, "not a directory"},
		"rejected": {rejected, "can be used: 1 file cannot be used as it stands: a.yaml:4: BGPSpeaker one: "},
		"unusable": {unusable, "can be used: 1 file cannot be used as it stands: a.yaml:3: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.world.new()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("New: %v; want one line with %q", err, c.want)
			}
		})
	}
}

func TestSourceFollowsFilesThatComeChangeAndGo(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.start()
	w.write("s.yaml", speaker("one", 1))
	w.eventuallySpeakers("one=1")
	w.write("s.yaml", speaker("one", 2)+"---\n"+speaker("two", 3))
	w.eventuallySpeakers("one=2 two=3")
	w.remove("s.yaml")
	w.eventuallySpeakers("")
	if state := w.state(); !state.Synced || state.Error != "" || state.Since.IsZero() {
		t.Errorf("state %+v", state)
	}
}

func TestSnapshotIsTheSameWhileNothingChanges(t *testing.T) {
	w := newWorld(t)
	w.write("a.yaml", nodeA)
	w.write("bad.yaml", broken)
	w.start()
	w.write("s.yaml", speaker("one", 1))
	w.eventuallySpeakers("one=1")
	before, _ := w.source.Snapshot()
	w.write("s.yaml", speaker("one", 1)) // touched: the file is read, and says the same
	w.write("t.yaml", speaker("two", 2))
	w.eventuallySpeakers("one=1 two=2")
	after, _ := w.source.Snapshot()
	if before == after {
		t.Error("a change made no new snapshot")
	}
	if len(before.Speakers) != 1 {
		t.Error("a snapshot that was handed out has changed")
	}
}

func TestBrokenEditKeepsTheLastGoodCopyAndMendingEndsIt(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.write("s.yaml", speaker("one", 1)+"---\n"+speaker("two", 2))
	w.start()
	w.write("s.yaml", speaker("one", 9)+"---\n"+broken)
	w.write("t.yaml", speaker("three", 3))
	w.eventually("error", func() bool { return w.state().Error != "" })
	w.eventuallySpeakers("one=1 three=3 two=2")
	if got := w.state().Error; !strings.HasPrefix(got, "1 file cannot be used as it stands: s.yaml:8: did not find") {
		t.Errorf("state error %q", got)
	}
	w.write("s.yaml", speaker("one", 9))
	w.eventuallySpeakers("one=9 three=3")
	w.eventually("no error", func() bool { return w.state().Error == "" })
	if n := strings.Count(w.log.String(), "a manifest cannot be used"); n != 1 {
		t.Errorf("the log told it %d times:\n%s", n, w.log)
	}
}

func TestAnObjectThatCannotBeReadIsRejectedAlone(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.write("s.yaml", speaker("one", 1)+"---\n"+speaker("two", 2))
	w.open()
	bad := strings.Replace(speaker("one", 9), "localASN: 9", "localASN: nine", 1)
	w.write("s.yaml", bad+"---\n"+speaker("two", 5)+"---\n"+strings.ReplaceAll(bad, "one", "three"))
	w.start()
	for range 2 { // the second time after a restart
		w.eventuallySpeakers("one=1 two=5")
		snap, state := w.source.Snapshot()
		want := []snapshot.Unreadable{
			{Kind: "BGPSpeaker", Name: "one", Message: "BGPSpeaker cannot be read as it stands in s.yaml: spec.localASN must be a whole number, not a string; the last form that could be read stays at work"},
			{Kind: "BGPSpeaker", Name: "three", Message: "BGPSpeaker cannot be read as it stands in s.yaml: spec.localASN must be a whole number, not a string"},
		}
		if !slices.Equal(snap.Unreadable, want) || !strings.HasPrefix(state.Error, "1 file cannot be used as it stands: s.yaml:4: BGPSpeaker one: spec.localASN must") {
			t.Errorf("unreadable %q, state %q", snap.Unreadable, state.Error)
		}
		w.open()
	}
	w.start()
	w.write("s.yaml", speaker("one", 9)+"---\n"+broken) // as a whole it cannot be read at all
	w.eventually("error", func() bool { return strings.Contains(w.state().Error, "s.yaml:8") })
	w.eventuallySpeakers("one=1 two=5")
	w.write("s.yaml", speaker("one", 9))
	w.eventuallySpeakers("one=9")
	if snap, state := w.source.Snapshot(); len(snap.Unreadable) > 0 || state.Error != "" {
		t.Errorf("after it was mended: %q, %q", snap.Unreadable, state.Error)
	}
}

func TestAServiceOrNodeThatCannotBeReadKeepsItsFormAndSaysSo(t *testing.T) {
	w := newWorld(t)
	const service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, labels: {a: b}}\nspec: {clusterIP: 10.96.0.1}\n"
	w.write("node.yaml", nodeA+service)
	w.open()
	w.write("node.yaml", strings.Replace(nodeA+service, "a: b", "a: 1", 1))
	w.open()
	snap, _ := w.source.Snapshot()
	web, there := snap.Services.Get("default/web")
	if !there || len(web.ClusterIPs) != 1 || len(web.Problems) != 1 || !strings.Contains(web.Problems[0], "metadata.labels") {
		t.Errorf("the Service is %+v", web)
	}
	if node := snap.Nodes["node-a"]; node == nil || len(node.Problems) > 0 {
		t.Errorf("the Node is %+v", node)
	}
}

func TestFileWrittenInStepsIsReadAsAWhole(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.write("s.yaml", speaker("one", 1))
	w.start()
	w.write("t.yaml", speaker("two", 2))
	w.eventuallySpeakers("one=1 two=2")
	file, err := os.Create(filepath.Join(w.path, "s.yaml")) // empties it
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for line := range strings.Lines(speaker("one", 5)) {
		if _, err := file.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	w.eventuallySpeakers("one=5 two=2")
	if strings.Contains(w.log.String(), "cannot be used") {
		t.Errorf("half a file was read:\n%s", w.log)
	}
}

func TestEmptiedFileKeepsItsObjects(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.write("s.yaml", speaker("one", 1))
	w.start()
	w.write("s.yaml", "")
	w.eventually("error", func() bool { return strings.Contains(w.state().Error, "s.yaml:1: the file is empty") })
	w.eventuallySpeakers("one=1")
}

func TestLastGoodCopySurvivesARestartAndGoesWithItsFile(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.write("s.yaml", speaker("one", 1))
	w.open()
	w.write("s.yaml", broken)
	w.open()
	if got := w.speakers(); got != "one=1" {
		t.Fatalf("after a restart with a broken manifest: %q", got)
	}
	w.remove("s.yaml")
	w.open()
	w.write("s.yaml", broken)
	w.open()
	if got := w.speakers(); got != "" {
		t.Errorf("the copy outlived its file: %q", got)
	}
}

func TestLastGoodCopiesAreForTheirOwnerAlone(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.open()
	info, err := os.Stat(filepath.Join(w.keep, "last-good", "node.yaml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestPartsOfABrokenManifestWorkWhenThereIsNoCopy(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.write("s.yaml", speaker("one", 1)+"---\n"+broken)
	w.start()
	w.eventuallySpeakers("one=1")
	w.write("s.yaml", speaker("two", 2)+"---\n"+broken) // still not whole: nothing good to keep
	w.eventuallySpeakers("two=2")
}

func TestVanishedOrEmptiedFolderTakesNothingAway(t *testing.T) {
	for name, vanish := range map[string]func(t *testing.T, w *world){
		"removed": func(t *testing.T, w *world) { w.remove("") },
		"renamed": func(t *testing.T, w *world) {
			if err := os.Rename(w.path, w.path+".away"); err != nil {
				t.Fatal(err)
			}
		},
		"emptied": func(t *testing.T, w *world) { w.remove("node.yaml"); w.remove("s.yaml") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("node.yaml", nodeA)
			w.write("s.yaml", speaker("one", 1))
			w.start()
			vanish(t, w)
			w.eventually("error", func() bool { return strings.Contains(w.state().Error, "what was last read stays in use") })
			if got := w.speakers(); got != "one=1" || !w.state().Synced {
				t.Errorf("speakers %q, state %+v", got, w.state())
			}
			if err := os.MkdirAll(w.path, 0o755); err != nil {
				t.Fatal(err)
			}
			w.write("s.yaml", speaker("one", 2))
			w.eventuallySpeakers("one=2")
			w.eventually("no error", func() bool { return w.state().Error == "" })
			w.write("s.yaml", speaker("one", 3)) // the new folder is followed
			w.eventuallySpeakers("one=3")
			if n := strings.Count(w.log.String(), "the folder of manifests cannot be read"); n != 1 {
				t.Errorf("the log told it %d times:\n%s", n, w.log)
			}
		})
	}
}

// A mounted ConfigMap: files are links through ..data, which is swapped as a whole.
func TestConfigMapSwapIsNoticed(t *testing.T) {
	w := newWorld(t)
	version := func(name, content string) {
		if err := os.MkdirAll(filepath.Join(w.path, name), 0o755); err != nil {
			t.Fatal(err)
		}
		w.write(filepath.Join(name, "s.yaml"), content)
		next := filepath.Join(w.path, "..data_tmp")
		if err := os.Symlink(name, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(w.path, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..2026_01", speaker("one", 1))
	if err := os.Symlink("..data/s.yaml", filepath.Join(w.path, "s.yaml")); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.eventuallySpeakers("one=1")
	version("..2026_02", speaker("one", 2))
	w.eventuallySpeakers("one=2")
	if state := w.state(); state.Error != "" {
		t.Errorf("state %+v", state)
	}
}

func TestFileThatCannotBeReadKeepsItsObjects(t *testing.T) {
	w := newWorld(t)
	w.write("node.yaml", nodeA)
	w.write("s.yaml", speaker("one", 1))
	w.start()
	w.remove("s.yaml")
	w.eventuallySpeakers("")
	w.write("s.yaml", speaker("one", 1))
	w.eventuallySpeakers("one=1")
	// A link that leads nowhere stands for all that cannot be read: tests run as root.
	link := filepath.Join(w.path, ".link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(w.path, "s.yaml")); err != nil {
		t.Fatal(err)
	}
	w.eventually("error", func() bool { return strings.Contains(w.state().Error, "s.yaml: cannot be read: ") })
	w.eventuallySpeakers("one=1")
}

func TestDuplicateIsReportedAndTheFirstFileCounts(t *testing.T) {
	w := newWorld(t)
	w.write("a.yaml", nodeA+"---\n"+speaker("one", 1))
	w.write("b.yaml", speaker("one", 2))
	w.open()
	if got := w.speakers(); got != "one=1" {
		t.Errorf("speakers %q", got)
	}
	if want := "b.yaml:1: BGPSpeaker one stands in a.yaml:5 already"; !strings.Contains(w.state().Error, want) {
		t.Errorf("state error %q, want %q", w.state().Error, want)
	}
}

func TestKindsThatAreNotReadAreNoError(t *testing.T) {
	w := newWorld(t)
	w.write("a.yaml", nodeA+"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n")
	w.open()
	if got := w.state().Error; got != "" {
		t.Errorf("state error %q", got)
	}
	if !strings.Contains(w.log.String(), "a.yaml:5: Deployment of apps/v1 is not read") {
		t.Errorf("log:\n%s", w.log)
	}
}

// A node that was never there ends the agent, which says so itself.
func TestOnlyANodeThatDisappearsIsSaidInTheLog(t *testing.T) {
	const missing = "no manifest defines this node any more"
	w := newWorld(t)
	w.write("a.yaml", speaker("one", 1))
	w.start()
	nodes := func() int { snap, _ := w.source.Snapshot(); return len(snap.Nodes) }
	if nodes() != 0 || strings.Contains(w.log.String(), missing) {
		t.Errorf("%d nodes at the start, log:\n%s", nodes(), w.log)
	}
	w.write("b.yaml", nodeA)
	w.eventually("node", func() bool { return nodes() == 1 })
	w.remove("b.yaml")
	w.eventually("no node", func() bool { return nodes() == 0 })
	if n := strings.Count(w.log.String(), missing); n != 1 {
		t.Errorf("told %d times, log:\n%s", n, w.log)
	}
}
