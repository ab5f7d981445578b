package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/fairway-bgp/fairway/controller"
	"github.com/fairway-bgp/fairway/controller/memory"
	"github.com/fairway-bgp/fairway/routes/host"
)

// openMemory returns what remembers, in the state folder, which sessions were up, what was
// announced and which peers may crash the speaker; nil where there can be none, for the agent works without.
func openMemory(stateDir string, log *slog.Logger) (controller.SessionMemory, controller.PrefixMemory, controller.TrialMemory) {
	boot, err := host.BootID()
	if err == nil {
		err = os.MkdirAll(stateDir, 0o755)
	}
	if err != nil {
		log.Info("nothing is remembered: a restart waits for every configured session, and addresses of Services wait as new ones do", "error", err)
		return nil, nil, nil
	}
	return memory.Sessions{Path: filepath.Join(stateDir, "sessions.json"), BootID: boot},
		memory.Prefixes{Path: filepath.Join(stateDir, "announced.json"), BootID: boot},
		memory.Trials{Path: filepath.Join(stateDir, "trials.json")}
}
