package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/report"
)

// writePause is how long the folder rests between two writes; reports in between coalesce.
const writePause = time.Second

// StatusOptions say where the status is written.
type StatusOptions struct {
	// StateDir gets a folder "status" with one file for each object, such as
	// BGPPeer_tor-a.yaml.
	StateDir string
	Log      *slog.Logger
}

// StatusWriter writes reports as the status that API objects would have: conditions of the
// node's configuration objects, and its BGPNodeState.
type StatusWriter struct {
	folder string
	log    *slog.Logger
	wake   chan struct{}

	mu     sync.Mutex
	latest *report.Report

	failed bool // Run's: whether the last write did
}

// NewStatusWriter makes the folder.
func NewStatusWriter(o StatusOptions) (*StatusWriter, error) {
	folder := filepath.Join(o.StateDir, "status")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("making the status folder: %w; name a folder that can be written with --state-dir", err)
	}
	return &StatusWriter{folder: folder, log: o.Log, wake: make(chan struct{}, 1)}, nil
}

// Report notes the newest report; it never blocks. The caller must not change it any more.
func (w *StatusWriter) Report(r *report.Report) {
	w.mu.Lock()
	w.latest = r
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes the newest report, at most once a second, until the context ends, which is no
// error. It then writes once more, so that the last state stands there.
func (w *StatusWriter) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			w.writeLatest()
			return nil
		case <-w.wake:
		}
		w.writeLatest()
		select {
		case <-ctx.Done():
		case <-time.After(writePause):
		}
	}
}

func (w *StatusWriter) writeLatest() {
	w.mu.Lock()
	r := w.latest
	w.mu.Unlock()
	if r == nil {
		return
	}
	err := w.write(r)
	switch {
	case err != nil && !w.failed:
		w.log.Warn("status files cannot be written", "folder", w.folder, "error", err)
	case err == nil && w.failed:
		w.log.Info("status files are written again", "folder", w.folder)
	}
	w.failed = err != nil
}

// statusFile is an object as far as its status goes.
type statusFile[S any] struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        statusName `json:"metadata"`
	Status          S          `json:"status"`
}

type statusName struct {
	Name string `json:"name"`
}

type conditions struct {
	Conditions []metav1.Condition `json:"conditions"`
}

// write makes the folder say what the report says, and goes on past files that fail.
func (w *StatusWriter) write(r *report.Report) error {
	var failed []error
	written := map[string]bool{}
	for _, v := range r.Verdicts {
		if !judged(v.Kind) {
			continue
		}
		name := fileName(v.Kind, v.Name)
		written[name] = true
		failed = append(failed, update(w, name, v.Kind, v.Name, func(old conditions) conditions {
			return conditions{report.Conditions(v, old.Conditions, r.Time)}
		}))
	}
	name := fileName(v1alpha1.KindBGPNodeState, r.Node)
	written[name] = true
	failed = append(failed, update(w, name, v1alpha1.KindBGPNodeState, r.Node, func(old v1alpha1.BGPNodeStateStatus) v1alpha1.BGPNodeStateStatus {
		return report.NodeState(r, old)
	}))
	if r.Source.Synced { // before, objects may merely not have been seen yet
		failed = append(failed, w.prune(written))
	}
	return errors.Join(failed...)
}

// judged reports whether objects of the kind have conditions.
func judged(kind string) bool {
	return slices.Contains([]string{v1alpha1.KindBGPSpeaker, v1alpha1.KindBGPPeer, v1alpha1.KindBGPAdvertisement}, kind)
}

func fileName(kind, name string) string { return kind + "_" + name + ".yaml" }

// update writes what next makes of the status in the file, unless that is the same. A file
// that does not parse counts as absent.
func update[S any](w *StatusWriter, file, kind, name string, next func(S) S) error {
	if filepath.Base(file) != file {
		return fmt.Errorf("%s %q cannot be the name of a file", kind, name)
	}
	path := filepath.Join(w.folder, file)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var content statusFile[S]
	if err := yaml.Unmarshal(before, &content); err != nil {
		content = statusFile[S]{}
	}
	content.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: kind}
	content.Metadata.Name = name
	content.Status = next(content.Status)
	after, err := yaml.Marshal(content)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if bytes.Equal(before, after) {
		return nil
	}
	return writeFile(path, after, 0o644)
}

var ownFile = regexp.MustCompile(`^((BGPSpeaker|BGPPeer|BGPAdvertisement|BGPNodeState)_.*\.yaml|\.new-.*)$`)

// prune removes the files of objects that have gone, and nothing that is not ours.
func (w *StatusWriter) prune(keep map[string]bool) error {
	entries, err := os.ReadDir(w.folder)
	if err != nil {
		return err
	}
	var failed []error
	for _, entry := range entries {
		if name := entry.Name(); ownFile.MatchString(name) && !keep[name] {
			failed = append(failed, os.Remove(filepath.Join(w.folder, name)))
		}
	}
	return errors.Join(failed...)
}
