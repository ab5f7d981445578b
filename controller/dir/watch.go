package dir

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// slowPoll finds what the kernel does not tell: changes behind symbolic links, on
	// network file systems, and of a folder that was replaced.
	slowPoll = 10 * time.Second
	// awayPoll is how often a folder that is gone is looked for.
	awayPoll = time.Second
	// settleQuiet is how long the folder must be quiet before it is read: programs write a file
	// in several steps, and remove one before they put the next in its place.
	settleQuiet = 100 * time.Millisecond
	// settleMost bounds the wait in a folder that is never quiet.
	settleMost = time.Second
)

// Run follows the folder until the context ends, which is no error.
func (s *Source) Run(ctx context.Context) error {
	f := s.newFollower()
	defer f.stop()
	poll := time.NewTicker(slowPoll)
	defer poll.Stop()
	for {
		// Following begins anew each time: the folder may be another of the same name. As it
		// begins before the reading, no change falls between the two.
		f.follow()
		_ = s.read() // which has said so itself
		poll.Reset(s.nextPoll())
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		case <-f.events:
			f.settle(ctx)
		case err := <-f.errors:
			s.log.Debug("changes were lost; the folder is read anew", "path", s.path, "error", err)
		}
	}
}

func (s *Source) nextPoll() time.Duration {
	if s.away {
		return awayPoll
	}
	return slowPoll
}

// follower tells when something in the folder changes. Where the kernel has no means left
// for that it never does, and the poll alone finds changes.
type follower struct {
	source  *Source
	watcher *fsnotify.Watcher // nil when the kernel has none to give
	events  <-chan fsnotify.Event
	errors  <-chan error
	failed  bool // the last attempt to follow
}

const pollsOnly = "the folder cannot be watched: changes are found by looking every 10 seconds"

func (s *Source) newFollower() *follower {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		s.log.Warn(pollsOnly+"; raise the sysctl fs.inotify.max_user_instances", "path", s.path, "error", err)
		return &follower{source: s}
	}
	return &follower{source: s, watcher: watcher, events: watcher.Events, errors: watcher.Errors}
}

// follow begins to follow the folder that has the name now.
func (f *follower) follow() {
	if f.watcher == nil {
		return
	}
	err := f.watcher.Add(f.source.path)
	if err != nil && !f.failed && !errors.Is(err, fs.ErrNotExist) { // that, reading tells
		f.source.log.Warn(pollsOnly, "path", f.source.path, "error", err)
	}
	f.failed = err != nil
}

func (f *follower) stop() {
	if f.watcher != nil {
		_ = f.watcher.Close()
	}
}

// settle waits until the folder has been quiet for a while.
func (f *follower) settle(ctx context.Context) {
	most := time.After(settleMost)
	for {
		select {
		case <-f.events:
		case <-time.After(settleQuiet):
			return
		case <-most:
			return
		case <-ctx.Done():
			return
		}
	}
}
