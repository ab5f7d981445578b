package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/controller"
)

func TestAPeerThatCrashesTheAgentIsFoundThoughTheBootIsNotKnown(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	for _, known := range []bool{true, false} {
		var log strings.Builder
		m := openMemory(folder, func() (string, error) {
			if known {
				return "one", nil
			}
			return "", errors.New("no /proc")
		}, slog.New(slog.NewTextHandler(&log, nil)))
		if err := errors.Join(m.trials.Store(controller.Trials{Begun: []controller.Trial{{Peer: "tor/192.0.2.1"}}}), m.sessions.Store([]string{"a"}), m.announced.Store(nil)); err != nil {
			t.Fatal(err)
		}
		if trials, _ := m.trials.Load(); len(trials.Begun) != 1 {
			t.Errorf("boot known %t: of the trials there is %+v", known, trials)
		}
		_, up := m.sessions.Load()
		_, announced := m.announced.Load()
		if up != known || announced != known {
			t.Errorf("boot known %t: sessions are known %t, what was announced %t", known, up, announced)
		}
		if said := log.String(); (said == "") != known || strings.Contains(said, "is not found") {
			t.Errorf("boot known %t: it is said %q", known, said)
		}
	}
}

func TestWithoutAFolderItIsSaidWhatIsMissing(t *testing.T) {
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	m := openMemory(filepath.Join(inTheWay, "state"), func() (string, error) { return "one", nil }, slog.New(slog.NewTextHandler(&log, nil)))
	if m != (memories{}) {
		t.Errorf("there is %+v", m)
	}
	if said := log.String(); !strings.Contains(said, "level=WARN") || !strings.Contains(said, "a peer that crashes the agent again and again is not found") {
		t.Errorf("it is said %q", said)
	}
}
