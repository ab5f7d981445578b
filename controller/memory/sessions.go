// Package memory keeps, in small files, what an agent has to know of the process before it: which
// sessions were up, and what was announced. A file counts for one boot of the machine alone.
package memory

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Sessions is a controller.SessionMemory that does not outlive the kernel's routes, which a reboot
// takes away.
type Sessions struct {
	Path   string
	BootID string // of the running kernel; "" where it is not known
}

type sessionFile struct {
	BootID   string   `json:"bootID"`
	Sessions []string `json:"sessions"`
}

// Load implements controller.SessionMemory. A file that cannot be read is no file; one of another boot
// tells whose sessions were up, and nothing of the kernel's routes.
func (f Sessions) Load() (peers []string, known bool) {
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return nil, false
	}
	var kept sessionFile
	if json.Unmarshal(text, &kept) != nil {
		return nil, false
	}
	return kept.Sessions, kept.BootID != "" && kept.BootID == f.BootID
}

// Store implements controller.SessionMemory. Where it fails it leaves no file rather than an old one,
// which would say that fewer sessions are to be waited for.
func (f Sessions) Store(peers []string) error {
	text, err := json.Marshal(sessionFile{BootID: f.BootID, Sessions: peers})
	if err == nil {
		err = replaceFile(f.Path, text)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keeping which sessions are up: %w", err), os.RemoveAll(f.Path))
	}
	return nil
}

// replaceFile puts the text in the place of the file in one step.
func replaceFile(path string, text []byte) error {
	next, err := os.CreateTemp(filepath.Dir(path), ".next-*")
	if err != nil {
		return err
	}
	_, err = next.Write(text)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}
