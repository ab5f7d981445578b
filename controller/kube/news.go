package kube

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/report"
)

// Reasons of Events that are no reason of a condition.
const (
	reasonSessionUp       = "SessionUp"
	reasonSessionDown     = "SessionDown"
	reasonPrefixesRefused = "PrefixesRefused"
)

const kindService = "Service"

const (
	// settleTime is how long a session may have been down before it is told why it does not
	// come up: the first tries after a start often meet a peer that is not ready.
	settleTime = 15 * time.Second
	// maxWords is how many reasons are told of one session until it comes up.
	maxWords = 4
)

// about is the object that an Event regards.
type about struct{ kind, name string }

// news is something that is so and has not been told.
type news struct {
	key     string // in memory
	then    said   // what memory holds there once it has been told
	urgency int    // the least comes first
	about   about
	warning bool
	reason  string
	action  string // what the agent was doing
	note    string
	// shared says that the agents of other nodes see the same, and one of them is enough.
	shared bool
}

// said is what has been told of one thing: a session, an object or a kind of refusal.
type said struct {
	up      bool
	since   time.Time // up: since when, as told; else: since when it is known to be down
	words   []string  // why it does not come up, as told
	verdict report.Verdict
	count   int // of refused prefixes
}

// memory is what has been told, by thing.
type memory map[string]said

// diff compares what is so with what has been told. It returns the memory without what is
// no more and, the most urgent first, what is to be told. Telling it is what changes
// the memory further, so that what could not be told is due until it is no longer so.
func diff(was memory, r *report.Report) (now memory, due []news) {
	now = memory{}
	add := func(n news, is bool) {
		if is {
			due = append(due, n)
		}
	}
	for _, s := range r.Sessions {
		if s.Object == "" {
			continue // the plan does not know it any more
		}
		key := "session " + s.Peer
		known, old := was[key]
		if !old {
			known.since = r.Time
		}
		now[key] = known
		add(sessionNews(r, s, key, known))
	}
	for _, v := range r.Verdicts {
		if v.Accepted {
			continue
		}
		key := "object " + v.Kind + " " + v.Name
		now[key] = was[key]
		add(verdictNews(v, key, was[key]))
	}
	for refusal, count := range r.Refusals {
		if count == 0 {
			continue
		}
		key := "refusal " + refusal.Peer + " " + refusal.Reason
		now[key] = was[key]
		add(refusalNews(r, refusal, count, key, was[key]))
	}
	for _, p := range r.Problems {
		switch {
		case p.Kind == kindService:
			key := "service " + p.Name + " " + p.Reason + " " + p.Subject
			now[key] = was[key]
			add(serviceNews(p, key, was[key]))
		case p.Reason == report.ReasonMaxPrefixes:
			key := "limit " + p.Name + " " + p.Message
			now[key] = was[key]
			add(limitNews(r, p, key, was[key]))
		}
	}
	slices.SortFunc(due, func(a, b news) int {
		return cmp.Or(cmp.Compare(a.urgency, b.urgency), cmp.Compare(a.key, b.key))
	})
	return now, due
}

// sessionNews tells of a session that came up, went down, or does not come up.
func sessionNews(r *report.Report, s report.Session, key string, known said) (news, bool) {
	n := news{key: key, about: partner(s.Object), action: "Peer"}
	who := fmt.Sprintf("%s: the session with %s", r.Node, s.Address)
	if s.ASN != 0 { // an external peer's is not known before it says so
		who += fmt.Sprintf(" (AS %d)", s.ASN)
	}
	switch {
	case s.State == bgp.Established:
		n.urgency, n.reason, n.note = 2, reasonSessionUp, who+" is up"
		if known.up && s.LastError != "" {
			n.note += " again; it went down: " + s.LastError
		}
		n.then = said{up: true, since: s.Since}
		return n, !known.up || !known.since.Equal(s.Since)
	case known.up:
		n.note = who + " went down"
		n.then = said{since: r.Time}
	default:
		settled := r.Time.Sub(known.since) >= settleTime
		if !settled || s.LastError == "" || len(known.words) >= maxWords || slices.Contains(known.words, s.LastError) {
			return news{}, false
		}
		n.note = who + " does not come up"
		n.then = said{since: known.since, words: slices.Clone(known.words)}
	}
	n.warning, n.reason = true, reasonSessionDown
	if s.LastError != "" {
		n.note += ": " + s.LastError
		n.then.words = append(n.then.words, s.LastError)
	}
	return n, true
}

// verdictNews tells of an object that is not used as it is written.
func verdictNews(v report.Verdict, key string, known said) (news, bool) {
	return news{
		key: key, then: said{verdict: v}, urgency: 1, about: about{v.Kind, v.Name}, warning: true, shared: true,
		reason: cmp.Or(v.Reason, v1alpha1.ReasonInvalid), action: "Configure", note: v.Message,
	}, known.verdict != v
}

// refusalNews tells how many learned prefixes stay out of the kernel: when they begin to,
// and when they have become twice as many.
func refusalNews(r *report.Report, refusal report.Refusal, count int, key string, known said) (news, bool) {
	return news{
		key: key, then: said{count: count}, urgency: 3, about: partner(refusal.Peer), warning: true,
		reason: reasonPrefixesRefused, action: "Import",
		note: fmt.Sprintf("%s: learned prefixes that stay out of the kernel: %d (%s)", r.Node, count, refusal.Reason),
	}, count >= max(1, 2*known.count)
}

// limitNews tells that a router tells more prefixes than it should.
func limitNews(r *report.Report, p report.Problem, key string, known said) (news, bool) {
	return news{
		key: key, then: said{count: 1}, urgency: 1, about: about{p.Kind, p.Name}, warning: true,
		reason: p.Reason, action: "Import", note: r.Node + ": " + p.Message,
	}, known.count == 0
}

// serviceNews tells on a Service that one of its addresses is not announced as it stands.
func serviceNews(p report.Problem, key string, known said) (news, bool) {
	return news{
		key: key, then: said{words: []string{p.Message}}, urgency: 2, about: about{kindService, p.Name}, warning: true, shared: true,
		reason: p.Reason, action: "Advertise", note: p.Message,
	}, !slices.Contains(known.words, p.Message)
}

// partner is the object at the other end of a session.
func partner(object string) about {
	if node, mesh := strings.CutPrefix(object, v1alpha1.MeshPeer+"/"); mesh {
		return about{"Node", node}
	}
	return about{v1alpha1.KindBGPPeer, object}
}

// with returns a copy that knows of one thing more as told.
func (m memory) with(n news) memory {
	out := maps.Clone(m)
	out[n.key] = n.then
	return out
}
