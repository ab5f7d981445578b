// Package memory keeps, in small files, what an agent has to know of the process before it: which
// sessions were up, what was announced, and which peers may crash the speaker. A file says in which boot
// of the machine it was written: what it tells of the kernel holds in that one alone.
package memory

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// File is a controller.Memory.
type File[T any] struct {
	Path   string
	BootID string // of the running kernel; "" where it is not known
	// KeepOld has an old value stay where a new one cannot be stored. Otherwise none does.
	KeepOld bool
}

type content struct {
	BootID string          `json:"bootID"`
	Kept   json.RawMessage `json:"kept"`
}

// Load implements controller.Memory. A file that cannot be read is no file.
func (f File[T]) Load() (value T, thisBoot bool) {
	var none T
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return none, false
	}
	var c content
	if json.Unmarshal(text, &c) != nil || json.Unmarshal(c.Kept, &value) != nil {
		return none, false
	}
	return value, c.BootID != "" && c.BootID == f.BootID
}

// Store implements controller.Memory. It need not have reached the disk itself: after a boot that loses it
// there is an old one, or none.
func (f File[T]) Store(value T) error {
	kept, err := json.Marshal(value)
	if err == nil {
		err = f.replace(content{f.BootID, kept})
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("keeping %s: %w", filepath.Base(f.Path), err)
	if f.KeepOld {
		return err
	}
	return errors.Join(err, os.RemoveAll(f.Path))
}

// replace puts the content in the place of the file in one step.
func (f File[T]) replace(c content) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(f.Path), ".next-*")
	if err != nil {
		return err
	}
	_, err = next.Write(text)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), f.Path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}
