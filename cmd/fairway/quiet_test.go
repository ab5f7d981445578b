package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

func TestWhispererTellsOfNothingButForDebugging(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		var out strings.Builder
		klog.SetSlogLogger(slog.New(whisperer{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})}))
		klog.Background().Error(errors.New("boom"), "an error")
		klog.Background().Info("a remark")
		klog.ClearLogger()
		if got := strings.Contains(out.String(), "an error") && strings.Contains(out.String(), "a remark"); got != want || !want && out.Len() > 0 {
			t.Errorf("at %v: %q", level, out.String())
		}
	}
}
