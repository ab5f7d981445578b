package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/fairway-bgp/fairway/controller"
	"github.com/fairway-bgp/fairway/controller/memory"
)

// memories are what outlives the agent in the state folder.
type memories struct {
	sessions  controller.Memory[[]string]
	announced controller.Memory[[]netip.Prefix]
	trials    controller.Memory[controller.Trials]
}

// openMemory returns what remembers which sessions were up, what was announced and which peers may crash
// the speaker; nothing where there is no folder, for the agent works without.
func openMemory(stateDir string, bootID func() (string, error), log *slog.Logger) memories {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		log.Warn("nothing is remembered: a restart waits for every configured session, addresses of Services wait as new ones do, "+
			"and a peer that crashes the agent again and again is not found", "error", err)
		return memories{}
	}
	boot, err := bootID()
	if err != nil {
		log.Info("which boot this is cannot be told: a restart waits for every configured session, and addresses of Services wait as new ones do", "error", err)
	}
	in := func(name string) string { return filepath.Join(stateDir, name) }
	return memories{
		sessions:  memory.File[[]string]{Path: in("sessions.json"), BootID: boot},
		announced: memory.File[[]netip.Prefix]{Path: in("announced.json"), BootID: boot},
		// Who is held down is to stay so, though it cannot be written down who else is tried.
		trials: memory.File[controller.Trials]{Path: in("trials.json"), BootID: boot, KeepOld: true},
	}
}
