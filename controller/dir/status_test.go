package dir_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/controller/dir"
	"github.com/fairway-bgp/fairway/controller/report"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func statusReport(at time.Time, verdicts ...report.Verdict) *report.Report {
	return &report.Report{
		Node: "node-a", Version: "v0", Time: at,
		Source:   report.Source{Synced: true},
		Verdicts: verdicts,
	}
}

// written runs a writer over the reports one after the other, each to its end.
func written(t *testing.T, state string, reports ...*report.Report) {
	t.Helper()
	for _, r := range reports {
		w, err := dir.NewStatusWriter(dir.StatusOptions{StateDir: state, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		w.Report(r)
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // Run writes once more before it ends
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func content(t *testing.T, state, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(state, "status", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestStatusFilesSayWhatTheReportSays(t *testing.T) {
	state := t.TempDir()
	written(t, state, statusReport(noon,
		report.Verdict{Kind: "BGPPeer", Name: "tor-a", Generation: 3, Reason: "Invalid", Message: "spec.asn: too large"}))
	want := `apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata:
  name: tor-a
status:
  conditions:
  - lastTransitionTime: "2026-05-01T12:00:00Z"
    message: 'spec.asn: too large'
    observedGeneration: 3
    reason: Invalid
    status: "False"
    type: Accepted
`
	if got := content(t, state, "BGPPeer_tor-a.yaml"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	node := content(t, state, "BGPNodeState_node-a.yaml")
	for _, part := range []string{"kind: BGPNodeState", "softwareVersion: v0", "sessionsTotal: 0", "reason: NoSpeaker", "message: 'spec.asn: too large'"} {
		if !strings.Contains(node, part) {
			t.Errorf("no %q in:\n%s", part, node)
		}
	}
}

func TestTransitionTimesSurviveARestart(t *testing.T) {
	state := t.TempDir()
	bad := report.Verdict{Kind: "BGPPeer", Name: "tor-a", Reason: "Invalid"}
	good := report.Verdict{Kind: "BGPPeer", Name: "tor-a", Accepted: true}
	written(t, state, statusReport(noon, bad), statusReport(noon.Add(time.Hour), bad))
	if got := content(t, state, "BGPPeer_tor-a.yaml"); !strings.Contains(got, "12:00:00Z") {
		t.Errorf("the same verdict moved the time:\n%s", got)
	}
	written(t, state, statusReport(noon.Add(2*time.Hour), good))
	if got := content(t, state, "BGPPeer_tor-a.yaml"); !strings.Contains(got, "14:00:00Z") {
		t.Errorf("another verdict kept the time:\n%s", got)
	}
}

func TestStatusThatIsTheSameIsNotWrittenAgain(t *testing.T) {
	state := t.TempDir()
	v := report.Verdict{Kind: "BGPPeer", Name: "tor-a", Accepted: true}
	written(t, state, statusReport(noon, v))
	path := filepath.Join(state, "status", "BGPPeer_tor-a.yaml")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	written(t, state, statusReport(noon.Add(time.Minute), v))
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the file was replaced")
	}
}

func TestStatusOfVanishedObjectsGoesOnceTheSourceIsSynced(t *testing.T) {
	state := t.TempDir()
	v := report.Verdict{Kind: "BGPPeer", Name: "tor-a", Accepted: true}
	foreign := filepath.Join(state, "status", "README")
	written(t, state, statusReport(noon, v))
	if err := os.WriteFile(foreign, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	unsynced := statusReport(noon)
	unsynced.Source.Synced = false
	written(t, state, unsynced)
	content(t, state, "BGPPeer_tor-a.yaml")
	written(t, state, statusReport(noon))
	if _, err := os.Stat(filepath.Join(state, "status", "BGPPeer_tor-a.yaml")); !os.IsNotExist(err) {
		t.Errorf("the file of a vanished object is still there: %v", err)
	}
	content(t, state, "BGPNodeState_node-a.yaml")
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a foreign file has gone: %v", err)
	}
}

func TestNameThatWouldLeaveTheFolderIsRefused(t *testing.T) {
	state := t.TempDir()
	written(t, state, statusReport(noon, report.Verdict{Kind: "BGPPeer", Name: "x/../../../escaped", Accepted: true}))
	if _, err := os.Stat(filepath.Join(state, "escaped.yaml")); !os.IsNotExist(err) {
		t.Errorf("a file was written outside the folder: %v", err)
	}
}

func TestStatusFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := dir.NewStatusWriter(dir.StatusOptions{StateDir: file, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("%v", err)
	}
}
