package controller

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// filter is a kernel's.
type filter struct {
	mu      sync.Mutex
	refused []netip.Prefix
	broken  error
	looked  int
}

func (f *filter) Set(_ context.Context, prefixes []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked++
	if f.broken == nil {
		f.refused = slices.Clone(prefixes)
	}
	return f.broken
}

func (f *filter) expect(t *testing.T, want ...netip.Prefix) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.refused, want) {
		t.Errorf("%v are refused, want %v", f.refused, want)
	}
}

func (f *filter) breaks(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = err
}

func withRefuser(t *testing.T, story func(r *Refuser, f *filter, log *strings.Builder)) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		f := &filter{}
		r := NewRefuser(f, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		var task sync.WaitGroup
		task.Go(func() { _ = r.Run(ctx) })
		story(r, f, &log)
		cancel()
		task.Wait()
	})
}

func TestWhatIsRefusedIsWhatThePlanSaysWhateverOthersDo(t *testing.T) {
	a, b := netip.MustParsePrefix("10.96.0.0/24"), netip.MustParsePrefix("fd00:96::/112")
	withRefuser(t, func(r *Refuser, f *filter, _ *strings.Builder) {
		f.refused = []netip.Prefix{b} // of an earlier process
		time.Sleep(time.Minute)
		f.expect(t, b)
		r.Set([]netip.Prefix{a})
		f.expect(t, a)
		f.mu.Lock()
		f.refused = nil // somebody flushes everything
		f.mu.Unlock()
		time.Sleep(refusePeriod)
		f.expect(t, a)
		r.Set(nil)
		f.expect(t)
		looked := f.looked
		time.Sleep(time.Minute)
		if synctest.Wait(); f.looked != looked {
			t.Error("a filter of which nothing is wanted is looked at")
		}
	})
}

func TestAFilterThatCannotBeSetIsSaidOnceAndTriedAgain(t *testing.T) {
	a := netip.MustParsePrefix("10.96.0.0/24")
	withRefuser(t, func(r *Refuser, f *filter, log *strings.Builder) {
		f.breaks(errors.New("no CAP_NET_ADMIN"))
		r.Set(nil)
		time.Sleep(time.Minute)
		if synctest.Wait(); len(r.problems("node-1")) > 0 || log.Len() > 0 {
			t.Errorf("nothing is wanted, and yet: %v, %s", r.problems("node-1"), log)
		}
		r.Set([]netip.Prefix{a})
		time.Sleep(time.Minute)
		f.expect(t)
		problems := r.problems("node-1")
		if len(problems) != 1 || !strings.HasSuffix(problems[0].Message, ": no CAP_NET_ADMIN") || strings.Count(log.String(), "level=ERROR") != 1 {
			t.Errorf("got %v\n%s", problems, log)
		}
		f.breaks(nil)
		time.Sleep(refusePeriod)
		f.expect(t, a)
		if problems := r.problems("node-1"); len(problems) > 0 || !strings.Contains(log.String(), "refused again") {
			t.Errorf("got %v\n%s", problems, log)
		}
	})
}
