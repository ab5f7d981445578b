package lab

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestStaysNoticesWhatDoesNot(t *testing.T) {
	looks := 0
	upTo := func(good int) func() error {
		looks = 0
		return func() error {
			if looks++; looks > good {
				return errors.New("gone")
			}
			return nil
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		d     time.Duration
		good  int
		stays bool
		looks int // at least
	}{
		{"stays", t.Context(), 3 * stayPause, 1000, true, 3},
		{"never was", t.Context(), time.Hour, 0, false, 1},
		{"goes", t.Context(), time.Hour, 2, false, 3},
		{"is looked at once in any case", ended, 0, 0, false, 1},
		{"stays until nobody asks any more", ended, time.Hour, 1000, true, 1},
	} {
		if err := Stays(tt.ctx, tt.d, upTo(tt.good)); (err == nil) != tt.stays || looks < tt.looks {
			t.Errorf("%s: %v after %d looks", tt.name, err, looks)
		}
	}
}
