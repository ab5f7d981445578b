package memory

import (
	"encoding/json"
	"fmt"
	"os"
)

// Trials is a controller.TrialMemory. It outlives a reboot: what a peer sends does too.
type Trials struct {
	Path string
}

// Load implements controller.TrialMemory. A file that cannot be read is no file.
func (f Trials) Load(trials any) (known bool) {
	text, err := os.ReadFile(f.Path)
	return err == nil && json.Unmarshal(text, trials) == nil
}

// Store implements controller.TrialMemory. Another process reads it, not another boot, so that it need
// not have reached the disk itself.
func (f Trials) Store(trials any) error {
	text, err := json.Marshal(trials)
	if err == nil {
		err = replaceFile(f.Path, text)
	}
	if err != nil {
		return fmt.Errorf("keeping which peers are being tried: %w", err)
	}
	return nil
}
