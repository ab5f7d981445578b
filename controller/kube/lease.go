package kube

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// notedLock logs when the Lease can no longer be read or written, and when it can again.
type notedLock struct {
	resourcelock.Interface
	host string
	log  *slog.Logger

	mu     sync.Mutex
	failed trouble
}

// Get implements resourcelock.Interface.
func (l *notedLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	l.note(err)
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l *notedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Create(ctx, record)
	l.note(err)
	return err
}

// Update implements resourcelock.Interface.
func (l *notedLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Update(ctx, record)
	l.note(err)
	return err
}

// note passes over what is part of an election: a Lease that is not there yet, and one that
// another was quicker to take.
func (l *notedLock) note(err error) {
	if errors.Is(err, context.Canceled) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return
	}
	if apierrors.IsNotFound(err) {
		err = nil
	}
	t := troubleOf(err, l.host, resource{name: "leases", one: LeaseName})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case t.class == l.failed.class:
	case t.class == fine:
		l.log.Info("the lease can be used again")
	default:
		l.log.Warn("the lease cannot be used, and without it nobody leads; it is tried again", "reason", t.text)
	}
	l.failed = t
}
