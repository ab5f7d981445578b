package kube

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// statusOf are the objects of one kind whose status is written, and how.
type statusOf[O interface {
	metav1.Object
	DeepCopy() O
}, S any] struct {
	resource string
	held     map[string]O
	status   func(O) *S
	client   interface {
		UpdateStatus(ctx context.Context, obj O, opts metav1.UpdateOptions) (O, error)
	}
}

// retry is when an object may be written again after a write that failed.
type retry struct {
	after time.Time
	pause time.Duration
}

// write makes the objects say what next says. It writes only what differs, and goes on past
// what fails, unless nothing answers. before says when those that failed are due again.
func (k statusOf[O, S]) write(ctx context.Context, t *term, next map[string]S, before map[types.UID]retry) {
	for name, o := range k.held {
		status, last := next[name], before[o.GetUID()]
		if equality.Semantic.DeepEqual(*k.status(o), status) {
			continue
		}
		if t.cutOff || ctx.Err() != nil || time.Now().Before(last.after) {
			if last.pause > 0 {
				t.retries[o.GetUID()] = last
			}
			continue
		}
		wanted := o.DeepCopy()
		*k.status(wanted) = status
		request, cancel := context.WithTimeout(ctx, writeTimeout)
		_, err := k.client.UpdateStatus(request, wanted, metav1.UpdateOptions{})
		cancel()
		if ctx.Err() == nil {
			t.wrote(resource{name: k.resource, one: name, ours: true}, o.GetUID(), last, err)
		}
	}
}

// wrote notes how a write went. A conflict is no trouble: the watch will bring what is newer.
// Nor is an object that is gone.
func (t *term) wrote(of resource, uid types.UID, last retry, err error) {
	t.mu.Lock()
	t.turned = time.Now()
	t.mu.Unlock()
	t.count(err)
	if err != nil && !apierrors.IsNotFound(err) {
		pause := min(max(2*last.pause, passPause), lastWritePause)
		t.retries[uid] = retry{after: time.Now().Add(jittered(pause)), pause: pause}
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return
	}
	now := troubleOf(err, t.host, of)
	switch now.class {
	case unreachable:
		t.cutOff = true
	case forbidden, otherTrouble:
		now.text = fmt.Sprintf("writing the status of %s: %s", of, shortened(err))
	}
	if t.failing.class == fine {
		t.failing = now
	}
}

// tellWrites logs, after a pass, when writing has begun to fail, when it fails for another
// reason, and when nothing is left that has failed.
func (t *term) tellWrites() {
	now := t.failing
	t.failing = trouble{}
	switch {
	case now.class == t.failed.class, now.class == fine && len(t.retries) > 0:
		return
	case now.class == fine:
		t.log.Info("status is written again")
	default:
		t.log.Warn("status cannot be written; it is tried again", "reason", now.text)
	}
	t.failed = now
}
