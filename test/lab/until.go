package lab

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Between two looks: short at first, since most things are soon so, and then
// long enough not to disturb what is being waited for.
const (
	firstPause = time.Millisecond
	lastPause  = 50 * time.Millisecond
	stayPause  = 20 * time.Millisecond
)

// Until calls check again and again until it returns nil. It gives up when ctx
// is done, or on an error marked by Never, and returns the last error of check.
func Until(ctx context.Context, check func() error) error {
	pause := firstPause
	for {
		err := check()
		var never neverError
		if err == nil || errors.As(err, &never) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		pause = min(2*pause, lastPause)
	}
}

type neverError struct{ error }

func (e neverError) Unwrap() error { return e.error }

// Never marks an error after which Until need not look again.
func Never(err error) error { return neverError{err} }

// Eventually ends the test unless check returns nil within timeout.
func Eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := Until(ctx, check); err != nil {
		t.Fatalf("not so within %s: %v", timeout, err)
	}
}

// Stays calls check again and again for as long as d, or until ctx is done if that is
// sooner, and returns its first error.
func Stays(ctx context.Context, d time.Duration, check func() error) error {
	began, tick := time.Now(), time.NewTicker(stayPause)
	defer tick.Stop()
	for {
		if err := check(); err != nil {
			return fmt.Errorf("no longer so after %s: %w", time.Since(began).Round(time.Millisecond), err)
		}
		if time.Since(began) >= d {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
