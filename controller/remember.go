package controller

import (
	"maps"
	"slices"

	"github.com/fairway-bgp/fairway/controller/plan"
)

// recall learns which sessions an earlier process had up.
func (l *Loop) recall() {
	if l.Sessions == nil {
		return
	}
	names, known := l.Sessions.Load()
	l.before = names
	if known {
		l.completeness.before = map[string]bool{}
		for _, name := range names {
			l.completeness.before[name] = true
		}
		l.kept = names
	}
}

// remember keeps for the next process which sessions are up, or were until lately: what they
// told may be in the kernel. Before the picture is complete what is kept stands, for the
// kernel still holds routes of that time.
func (l *Loop) remember() {
	if l.Sessions == nil || !l.complete {
		return
	}
	now := slices.Sorted(maps.Keys(l.completeness.lately))
	if l.kept != nil && slices.Equal(now, l.kept) {
		return
	}
	switch err := l.Sessions.Store(now); {
	case err == nil:
		l.kept, l.forgetful = append([]string{}, now...), false
	case !l.forgetful: // it is tried again, and said once
		l.forgetful = true
		l.Log.Warn("a restart will wait for every configured session", "error", err)
	}
}

// withheldNames are the names of peers that are not tried, or their beginnings where the
// address is not known.
func withheldNames(list []plan.Withheld) []string {
	var out []string
	for _, w := range list {
		name := w.Object + "/"
		if w.Address.IsValid() {
			name += w.Address.String()
		}
		out = append(out, name)
	}
	return out
}
