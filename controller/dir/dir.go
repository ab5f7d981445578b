// Package dir is the source that reads a folder of manifests: the same objects, with the
// same defaults, as an API server would hold, for a node that has none.
//
// It keeps one thing true: what cannot be read takes nothing away. A manifest that does not
// parse leaves its last good copy at work, across restarts too; a folder that vanishes or
// becomes empty leaves everything at work. Only a manifest that is removed from a folder
// that still holds others, or an object removed from a manifest that parses, is gone.
//
// Secrets are known by name alone: their namespace, which in a cluster must be the agent's
// own, is ignored.
package dir

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/fairway-bgp/fairway/controller/report"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// Options say which folder is read.
type Options struct {
	// Path of the folder of manifests. Only files directly inside it are read, those that
	// end in .yaml, .yml or .json and do not begin with a dot.
	Path string
	// StateDir is where last good copies are kept, in its folder last-good. Empty: they are
	// kept in memory only.
	StateDir string
	// NodeName is the node that this agent is for. The log says when the manifests cease to
	// define it; that they never did is the caller's to notice.
	NodeName string
	Log      *slog.Logger
}

// Source is a folder of manifests, as it was last read.
type Source struct {
	path     string
	node     string
	log      *slog.Logger
	fallback *snapshot.Snapshot // of the copies, as they were at the start
	copies   lastGood
	changed  chan struct{}

	// Of the goroutine that reads: New's, then Run's.
	files map[string]*manifest
	away  bool            // the folder could not be read when it was last tried
	told  map[string]bool // problems that the log knows of
	// copyFailed reports whether the last copy could not be kept.
	copyFailed bool

	mu    sync.Mutex
	snap  *snapshot.Snapshot
	state report.Source
}

// manifest is one file.
type manifest struct {
	sum      [sha256.Size]byte // of what was read last
	problems []Problem         // of what was read last
	objects  []object          // in use
	// good reports whether objects are all that a whole manifest said, now or earlier;
	// if not they are the parts of a broken one.
	good bool
}

// New reads the folder once. It fails when there is nothing to begin with: no folder, no
// manifests in it, or none that can be used.
func New(o Options) (*Source, error) {
	s := &Source{
		path:    o.Path,
		node:    o.NodeName,
		log:     o.Log,
		changed: make(chan struct{}, 1),
		files:   map[string]*manifest{},
		told:    map[string]bool{},
	}
	if o.StateDir != "" {
		s.copies.folder = filepath.Join(o.StateDir, "last-good")
	}
	s.fallback = s.copies.snapshot()
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("%w; put the manifests there, or name another folder with --source=dir:PATH", err)
	}
	if err := s.nothingUsable(); err != nil {
		return nil, err
	}
	return s, nil
}

// nothingUsable is an error when nothing in any manifest can be read and no last good copy is left.
func (s *Source) nothingUsable() error {
	for _, m := range s.files {
		lost := slices.ContainsFunc(m.objects, isRejected) || m.broken()
		if !lost || slices.ContainsFunc(m.objects, func(o object) bool { return o.value != nil }) {
			return nil
		}
	}
	return fmt.Errorf("no manifest in %s can be used: %s", s.path, s.state.Error)
}

// Changed is readable when Snapshot may have something new to say.
func (s *Source) Changed() <-chan struct{} { return s.changed }

// Snapshot returns what the folder says now, and how well it can be read. The snapshot is
// never nil, never changed, and the same pointer while nothing has changed.
func (s *Source) Snapshot() (*snapshot.Snapshot, report.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snap, s.state
}

// read brings the source up to date. An error says that the folder as a whole could not be
// read; everything then stays as it was, but for the state.
func (s *Source) read() error {
	contents, unreadable, err := readFolder(s.path)
	if err != nil {
		s.lose(err)
		return err
	}
	dirty := s.forget(func(name string) bool { return contents[name] != nil || unreadable[name] != nil })
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		dirty = s.take(name, contents[name]) || dirty
	}
	for _, name := range slices.Sorted(maps.Keys(unreadable)) {
		dirty = s.takeUnreadable(name, unreadable[name]) || dirty
	}
	if dirty || s.away || s.snap == nil {
		s.rebuild()
	}
	if s.away {
		s.away = false
		s.log.Info("the folder of manifests can be read again", "path", s.path)
	}
	return nil
}

// lose notes that the folder as a whole cannot be read. What was read last stays in use.
func (s *Source) lose(err error) {
	if s.snap == nil {
		return // New tells its caller
	}
	text := err.Error() + "; what was last read stays in use"
	if !s.away || text != s.state.Error {
		s.log.Error("the folder of manifests cannot be read; what was last read stays in use", "error", err)
	}
	s.away = true
	s.publish(s.snap, report.Source{Synced: true, Error: text})
}

// forget drops the manifests that have been removed from the folder, and their copies.
func (s *Source) forget(present func(name string) bool) (dirty bool) {
	for name := range s.files {
		if !present(name) {
			delete(s.files, name)
			dirty = true
			s.log.Info("manifest removed", "file", name)
		}
	}
	if dirty || s.snap == nil {
		s.checkCopy(s.copies.prune(present))
	}
	return dirty
}

// take reads one file's content; it reports whether anything is new.
func (s *Source) take(name string, data []byte) bool {
	sum := sha256.Sum256(data)
	if m := s.files[name]; m != nil && m.sum == sum {
		return false
	}
	objects, problems := parseFile(name, data)
	next := &manifest{sum: sum, problems: problems, objects: objects, good: true}
	switch {
	case next.broken():
		next.objects, next.good = s.lastGood(name, objects)
	case slices.ContainsFunc(objects, isRejected):
		earlier, _ := s.lastGood(name, nil)
		reinstate(objects, earlier)
	case valid(objects): // what parses but is invalid is the plan's to judge, and no copy to go back to
		s.keepCopy(name, data)
	}
	s.files[name] = next
	return true
}

func (s *Source) takeUnreadable(name string, err error) bool {
	problem := Problem{File: name, Message: "cannot be read: " + err.Error(), Broken: true}
	if m := s.files[name]; m != nil && slices.Equal(m.problems, []Problem{problem}) {
		return false
	}
	next := &manifest{problems: []Problem{problem}}
	next.objects, next.good = s.lastGood(name, nil)
	s.files[name] = next
	return true
}

// lastGood returns what a broken file said when it could last be used; when it never could,
// the parts of it that can be used.
func (s *Source) lastGood(name string, parts []object) (objects []object, good bool) {
	if m := s.files[name]; m != nil && m.good {
		return m.objects, true
	}
	data, err := s.copies.read(name)
	s.checkCopy(err)
	if data == nil || err != nil {
		return parts, false
	}
	objects, problems := parseFile(name, data)
	if slices.ContainsFunc(problems, isBroken) {
		return parts, false // kept by a release that understood it
	}
	return objects, true
}

// reinstate gives objects that are rejected the form that they had earlier.
func reinstate(objects, earlier []object) {
	for i := range objects {
		o := &objects[i]
		if !isRejected(*o) {
			continue
		}
		for _, e := range earlier {
			if e.String() == o.String() {
				o.value = e.value
			}
		}
	}
}

func isRejected(o object) bool { return o.rejected != "" }

// valid reports whether every object keeps the rules of its own schema.
func valid(objects []object) bool {
	return !slices.ContainsFunc(objects, func(o object) bool {
		v, ok := o.value.(interface{ Validate() field.ErrorList })
		return ok && len(v.Validate()) > 0
	})
}

func isBroken(p Problem) bool { return p.Broken }

func (m *manifest) broken() bool {
	return slices.ContainsFunc(m.problems, isBroken)
}

// rebuild makes a new snapshot of all files.
func (s *Source) rebuild() {
	var objects []object
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		m := s.files[name]
		objects, problems = append(objects, m.objects...), append(problems, m.problems...)
	}
	snap, twice := assemble(objects)
	problems = sorted(append(problems, twice...))
	snap.Fallback = s.fallback
	s.tell(problems)
	s.tellNode(snap)
	s.publish(snap, report.Source{Synced: true, Error: summary(problems)})
}

// summary names the first problem and counts the files concerned; "" when all are fine.
func summary(problems []Problem) string {
	files := map[string]bool{}
	first := ""
	for _, p := range problems {
		if p.Ignored {
			continue
		}
		if first == "" {
			first = p.String()
		}
		files[p.File] = true
	}
	switch len(files) {
	case 0:
		return ""
	case 1:
		return "1 file cannot be used as it stands: " + first
	}
	return fmt.Sprintf("%d files cannot be used as they stand: %s", len(files), first)
}

// tell logs each problem once, when it appears, and once that it is gone.
func (s *Source) tell(problems []Problem) {
	now := map[string]bool{}
	for _, p := range problems {
		text := p.String()
		now[text] = true
		switch {
		case s.told[text]:
		case p.Ignored:
			s.log.Info("part of a manifest is not read", "where", text)
		case p.Broken:
			s.log.Error("a manifest cannot be used; its last good copy stays in use where there is one", "problem", text)
		default:
			s.log.Warn("part of a manifest has no effect", "problem", text)
		}
	}
	for text := range s.told {
		if !now[text] {
			s.log.Info("a problem with a manifest is gone", "problem", text)
		}
	}
	s.told = now
}

// tellNode logs when the agent's own node disappears. Where it was never there, the agent does
// not go on, and says so itself.
func (s *Source) tellNode(snap *snapshot.Snapshot) {
	had := s.snap != nil && s.snap.Nodes[s.node] != nil
	if had && snap.Nodes[s.node] == nil {
		s.log.Warn("no manifest defines this node any more: nothing is advertised until a Node of this name is added, or --node-name names another",
			"node", s.node, "path", s.path)
	}
}

// publish hands out a snapshot and the state of the source, and wakes who waits for news.
func (s *Source) publish(snap *snapshot.Snapshot, state report.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state.Since = s.state.Since
	if s.snap == nil || state != s.state {
		state.Since = time.Now()
	} else if snap == s.snap {
		return
	}
	s.snap, s.state = snap, state
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Source) keepCopy(name string, data []byte) {
	s.checkCopy(s.copies.write(name, data))
}

// checkCopy logs when copies begin to fail and when they no longer do. The source works
// without them until the next start.
func (s *Source) checkCopy(err error) {
	switch {
	case err != nil && !s.copyFailed:
		s.log.Warn("last good copies of manifests cannot be kept: a restart with a broken manifest would lose it", "error", err)
	case err == nil && s.copyFailed:
		s.log.Info("last good copies of manifests are kept again")
	}
	s.copyFailed = err != nil
}
