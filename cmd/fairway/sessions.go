package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/fairway-bgp/fairway/controller"
	"github.com/fairway-bgp/fairway/routes/host"
)

// openMemory returns what remembers, in the state folder, which sessions were up; nil where
// there can be none, for the agent works without.
func openMemory(stateDir string, log *slog.Logger) controller.SessionMemory {
	boot, err := host.BootID()
	if err == nil {
		err = os.MkdirAll(stateDir, 0o755)
	}
	if err != nil {
		log.Info("which sessions are up is not remembered: a restart waits for every configured one", "error", err)
		return nil
	}
	return controller.SessionFile{Path: filepath.Join(stateDir, "sessions.json"), BootID: boot}
}
