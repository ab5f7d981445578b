package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const workDirPrefix = "fairway-controlplane-"

// settleTime is how old an unlocked folder must be before it counts as left
// behind: a new one is unlocked for a moment.
const settleTime = time.Minute

// workDir is the folder of one control plane. Its lock is held for as long as
// this process lives, so that folders of killed tests can be told apart.
type workDir struct {
	path string
	lock *os.File
}

// newWorkDir makes a folder in base and removes those that killed tests left.
func newWorkDir(base string) (*workDir, error) {
	// etcd listens on a Unix socket in the folder, and such a path has at most 107 bytes.
	if len(base) > 60 {
		base = "/tmp"
	}
	sweep(base)
	path, err := os.MkdirTemp(base, workDirPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &workDir{path: path, lock: lock}, nil
}

func (d *workDir) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}

// sweep removes the folders of tests that were killed. One that cannot be
// removed, as another user's, is left: it does not concern this test.
func sweep(base string) {
	found, err := filepath.Glob(filepath.Join(base, workDirPrefix+"*"))
	if err != nil {
		return
	}
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < settleTime {
			continue
		}
		if lock, err := lockDir(path); err == nil {
			_ = os.RemoveAll(path)
			_ = lock.Close()
		}
	}
}

func lockDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), dir.Close())
	}
	return dir, nil
}
