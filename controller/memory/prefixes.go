package memory

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// Prefixes is a controller.PrefixMemory that does not outlive what a service proxy has programmed,
// which a reboot takes away.
type Prefixes struct {
	Path   string
	BootID string // of the running kernel; "" where it is not known
}

type prefixFile struct {
	BootID   string         `json:"bootID"`
	Prefixes []netip.Prefix `json:"prefixes"`
}

// Load implements controller.PrefixMemory. A file that cannot be read, or of another boot, is no file.
func (f Prefixes) Load() (prefixes []netip.Prefix, known bool) {
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return nil, false
	}
	var kept prefixFile
	if json.Unmarshal(text, &kept) != nil || kept.BootID == "" || kept.BootID != f.BootID {
		return nil, false
	}
	return kept.Prefixes, true
}

// Store implements controller.PrefixMemory. Where it fails it leaves no file rather than an old one, which
// would have addresses announced that this process has withdrawn.
func (f Prefixes) Store(prefixes []netip.Prefix) error {
	text, err := json.Marshal(prefixFile{BootID: f.BootID, Prefixes: prefixes})
	if err == nil {
		err = replaceFile(f.Path, text)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keeping what is announced: %w", err), os.RemoveAll(f.Path))
	}
	return nil
}
