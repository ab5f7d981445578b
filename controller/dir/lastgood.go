package dir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// lastGood keeps a copy of each manifest as it last could be used, so that a start with a
// broken manifest still has what ran before. The copies may hold passwords, so only their
// owner can read them.
type lastGood struct {
	folder string // "": nothing is kept
}

// read returns the copy of a manifest; nil when there is none.
func (l lastGood) read(name string) ([]byte, error) {
	if l.folder == "" {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(l.folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// snapshot returns what the copies hold: the objects as they were last valid before this
// process began. What cannot be read of them is left out.
func (l lastGood) snapshot() *snapshot.Snapshot {
	if l.folder == "" {
		return nil
	}
	contents, _, err := readFolder(l.folder)
	if err != nil {
		return nil
	}
	snap, _ := Parse(contents)
	return snap
}

// write replaces the copy of a manifest.
func (l lastGood) write(name string, data []byte) error {
	if l.folder == "" {
		return nil
	}
	if kept, err := l.read(name); err == nil && bytes.Equal(kept, data) {
		return nil
	}
	if err := os.MkdirAll(l.folder, 0o700); err != nil {
		return fmt.Errorf("keeping a copy of %s: %w", name, err)
	}
	if err := writeFile(filepath.Join(l.folder, name), data, 0o600); err != nil {
		return fmt.Errorf("keeping a copy of %s: %w", name, err)
	}
	return nil
}

// prune removes the copies of manifests that are not in the folder any more, and what an
// interrupted write left behind.
func (l lastGood) prune(present func(name string) bool) error {
	if l.folder == "" {
		return nil
	}
	entries, err := os.ReadDir(l.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing old copies: %w", err)
	}
	var failed []error
	for _, entry := range entries {
		if name := entry.Name(); !present(name) || strings.HasPrefix(name, ".") {
			failed = append(failed, os.Remove(filepath.Join(l.folder, name)))
		}
	}
	return errors.Join(failed...)
}
