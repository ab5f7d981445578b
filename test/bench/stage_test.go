package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeStage is a stage with nothing on it.
type fakeStage struct{ closed bool }

func (s *fakeStage) logs() string { return "last words" }

func (s *fakeStage) close() error {
	s.closed = true
	return nil
}

func TestPerformLeavesNothingHoweverItEnds(t *testing.T) {
	for name, test := range map[string]struct {
		raise, measure error
		keep           bool
		left           int
	}{
		"well":                {},
		"well, with its logs": {keep: true, left: 1},
		"raising fails":       {raise: errors.New("no stage")},
		"measuring fails":     {measure: errors.New("no figure")},
	} {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			s := &fakeStage{}
			_, err := perform(t.Context(), test.keep, io.Discard, func(_ context.Context, dir string, _ *narrator) (*fakeStage, error) {
				return s, errors.Join(test.raise, os.WriteFile(filepath.Join(dir, "log"), nil, 0o600))
			}, func(*fakeStage, *narrator) (result, error) {
				return &badResult{}, test.measure
			})
			if want := errors.Join(test.raise, test.measure); (err == nil) != (want == nil) || want != nil && !strings.HasPrefix(err.Error(), want.Error()) {
				t.Errorf("got %v, want %v", err, want)
			}
			if test.measure != nil && !strings.Contains(err.Error(), "last words") {
				t.Errorf("%v does not end with the logs", err)
			}
			if s.closed != (test.raise == nil) {
				t.Errorf("the stage is closed: %t", s.closed)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) != test.left {
				t.Errorf("%d folders are left, want %d: %v", len(left), test.left, err)
			}
		})
	}
}
