package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// SessionMemory keeps for the next process which sessions were up in this one.
type SessionMemory interface {
	// Load returns the names of their peers. Not known: nothing is to be concluded.
	Load() (peers []string, known bool)
	Store(peers []string) error
}

// SessionFile is a SessionMemory that does not outlive the kernel's routes, which a reboot
// takes away.
type SessionFile struct {
	Path   string
	BootID string // of the running kernel; "" where it is not known
}

type sessionFile struct {
	BootID   string   `json:"bootID"`
	Sessions []string `json:"sessions"`
}

// Load implements SessionMemory. A file that cannot be read, or of another boot, is no file.
func (f SessionFile) Load() (peers []string, known bool) {
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return nil, false
	}
	var kept sessionFile
	if json.Unmarshal(text, &kept) != nil || kept.BootID == "" || kept.BootID != f.BootID {
		return nil, false
	}
	return kept.Sessions, true
}

// Store implements SessionMemory. Where it fails it leaves no file rather than an old one,
// which would say that fewer sessions are to be waited for.
func (f SessionFile) Store(peers []string) error {
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
