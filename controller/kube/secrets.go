package kube

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/fairway-bgp/fairway/controller/snapshot"
)

const secretsResource = "secrets"

// secretWait is how long a Secret that cannot be looked up holds back a new snapshot, so that
// a session is not taken for one without a password in the moment before it is read.
const secretWait = 5 * time.Second

// secret is a Secret that some object refers to. Only those are read, one by one: an agent
// has no business with others.
type secret struct {
	*watched
	stop context.CancelFunc // nil until Run has started it
	late bool               // no snapshot waits for it any longer
}

// refer brings the Secrets that are followed in line with what objects refer to.
func (s *Source) refer() {
	wanted := map[string]bool{}
	for _, speaker := range s.speakers.view() {
		if ref := speaker.Spec.Topology.PasswordSecretRef; ref != nil {
			wanted[ref.Name] = true
		}
	}
	for _, peer := range s.peers.view() {
		if ref := peer.Spec.PasswordSecretRef; ref != nil {
			wanted[ref.Name] = true
		}
	}
	s.weigh()
	for name, c := range s.secrets {
		if !wanted[name] {
			if c.stop != nil {
				c.stop()
			}
			delete(s.secrets, name)
			s.passwords.drop(name)
		}
	}
	for name := range wanted {
		if s.secrets[name] == nil {
			s.secrets[name] = &secret{watched: s.newSecretWatch(name)}
		}
	}
	wake(s.references)
}

func (s *Source) newSecretWatch(name string) *watched {
	w := newWatched(s, resource{name: secretsResource, one: name}, s.core.Secrets(s.namespace), &s.passwords,
		func(o *corev1.Secret) (snapshot.Password, bool) { return snapshot.PasswordFrom(o), true })
	w.selector = fields.OneTermEqualSelector("metadata.name", name).String()
	return w
}

// followSecrets starts the watches that are not started yet.
func (s *Source) followSecrets(ctx context.Context, running *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		c := s.secrets[name]
		if c.stop != nil {
			continue
		}
		var own context.Context
		own, c.stop = context.WithCancel(ctx)
		running.Go(func() {
			late := time.AfterFunc(secretWait, func() { s.giveUp(c) })
			defer late.Stop()
			c.run(own, s)
		})
	}
}

// giveUp stops waiting for a Secret; it is still looked for.
func (s *Source) giveUp(c *secret) {
	s.apply(c.watched, func() bool {
		if c.seen || c.late {
			return false
		}
		c.late = true
		s.passwords.put(c.one, snapshot.Password{Problem: "could not be read within 5 seconds; it is tried again"})
		return true
	})
}

// noteSecret takes in that reading a Secret began, or ceased, to fail. What was read of it
// before stays in use.
func (s *Source) noteSecret(w *watched) {
	c := s.secrets[w.one]
	if c == nil || c.watched != w {
		return
	}
	switch w.trouble.class {
	case fine, unreachable: // that is the source's trouble, not this Secret's
		return
	}
	s.log.Warn("a Secret with a password cannot be read", "secret", s.namespace+"/"+w.one, "reason", w.trouble.text)
	if !w.seen {
		c.late = true
		s.passwords.put(w.one, snapshot.Password{Problem: "cannot be read: " + w.trouble.text})
		s.dirty = true
	}
}
