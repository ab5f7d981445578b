package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/routes"
)

// The schema's bounds on a session's peer and on a condition's message, in characters.
const (
	maxPeer    = 253
	maxMessage = v1alpha1.MaxMessageLength
)

// NodeState is the report as the status of a BGPNodeState, within the bounds of its schema.
// prev is the status that was written last: a condition whose status is the same as there
// keeps the time of its last transition. The result shares nothing with prev.
func NodeState(r *Report, prev v1alpha1.BGPNodeStateStatus) v1alpha1.BGPNodeStateStatus {
	out := v1alpha1.BGPNodeStateStatus{
		SoftwareVersion: r.Version,
		Sessions:        sessionRows(r.Sessions),
		SessionsTotal:   count(len(r.Sessions)),
		Routes: v1alpha1.RoutesStatus{
			Wanted:    count(r.Routes.Wanted),
			Installed: count(r.Routes.Installed),
			Failed:    failedRows(r),
			Refused:   refusedRows(r.Refusals),
		},
		Advertisements: advertisedRows(r.Advertisements),
		Problems:       problemRows(r),
		Conditions:     slices.Clone(prev.Conditions),
	}
	if r.Speaker.Running {
		out.RouterID, out.ASN = r.Speaker.Config.RouterID.String(), int64(r.Speaker.Config.ASN)
	}
	for _, s := range r.Sessions {
		if s.State == bgp.Established {
			out.SessionsEstablished++
		}
	}
	for _, c := range nodeConditions(r) {
		c.LastTransitionTime = seconds(r.Time)
		c.Message = truncate(c.Message, maxMessage)
		meta.SetStatusCondition(&out.Conditions, c)
	}
	out.Truncate()
	return out
}

// Conditions returns prev with the condition Accepted as the verdict has it. The condition
// keeps the time of its last transition while its status is the same; else it is now.
func Conditions(v Verdict, prev []metav1.Condition, now time.Time) []metav1.Condition {
	c := metav1.Condition{
		Type:               v1alpha1.ConditionAccepted,
		Status:             metav1.ConditionFalse,
		ObservedGeneration: v.Generation,
		LastTransitionTime: seconds(now),
		Reason:             cmp.Or(v.Reason, v1alpha1.ReasonInvalid),
		Message:            truncate(v.Message, maxMessage),
	}
	if v.Accepted {
		c.Status, c.Reason = metav1.ConditionTrue, cmp.Or(v.Reason, v1alpha1.ReasonAccepted)
	}
	out := slices.Clone(prev)
	meta.SetStatusCondition(&out, c)
	return out
}

// nodeConditions returns Ready and the four that it sums up.
func nodeConditions(r *Report) []metav1.Condition {
	parts := []metav1.Condition{sourceCondition(r), speakerCondition(r), routesCondition(r), hostCondition(r)}
	ready := condition(v1alpha1.ConditionReady, v1alpha1.ReasonReady, "", true)
	for _, c := range parts {
		if c.Status != metav1.ConditionTrue {
			ready = condition(v1alpha1.ConditionReady, c.Reason, c.Message, false)
			break
		}
	}
	return append([]metav1.Condition{ready}, parts...)
}

func condition(kind, reason, message string, is bool) metav1.Condition {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

func sourceCondition(r *Report) metav1.Condition {
	const kind = v1alpha1.ConditionSourceSynced
	switch {
	case r.Source.Error != "":
		return condition(kind, v1alpha1.ReasonSourceUnavailable, r.Source.Error, false)
	case !r.Source.Synced:
		return condition(kind, v1alpha1.ReasonSyncing, "the configuration has not been read completely yet; nothing is deleted until it has", false)
	}
	return condition(kind, v1alpha1.ReasonSynced, "", true)
}

func speakerCondition(r *Report) metav1.Condition {
	const kind = v1alpha1.ConditionSpeakerReady
	s := &r.Speaker
	switch {
	case s.Error != "":
		return condition(kind, v1alpha1.ReasonSpeakerFailed, s.Error, false)
	case s.Running:
		return condition(kind, v1alpha1.ReasonRunning, "", true)
	case s.Name == "":
		return condition(kind, v1alpha1.ReasonNoSpeaker, "no usable BGPSpeaker selects this node", false)
	}
	reason, message := whyNoSpeaker(r)
	return condition(kind, reason, message, false)
}

// whyNoSpeaker says why the BGPSpeaker that counts does not run here: its verdict knows.
func whyNoSpeaker(r *Report) (reason, message string) {
	for _, v := range r.Verdicts {
		if v.Kind != v1alpha1.KindBGPSpeaker || v.Name != r.Speaker.Name || v.Accepted {
			continue
		}
		switch v.Reason {
		case v1alpha1.ReasonASNUnknown, v1alpha1.ReasonRouterIDConflict:
			return v.Reason, v.Message
		}
		return v1alpha1.ReasonSpeakerFailed, v.Message
	}
	return v1alpha1.ReasonSpeakerFailed, fmt.Sprintf("the speaker of BGPSpeaker %s does not run", r.Speaker.Name)
}

func routesCondition(r *Report) metav1.Condition {
	const kind = v1alpha1.ConditionRoutesInSync
	missing := r.Routes.Wanted - r.Routes.Installed
	switch {
	case !r.RoutesSynced:
		return condition(kind, v1alpha1.ReasonPending, "the kernel has not been compared with what is wanted yet", false)
	case len(r.Routes.Contested) > 0:
		return condition(kind, v1alpha1.ReasonRouteContested, contested(r.Routes.Contested), false)
	case len(r.Routes.Failed) > 0:
		return condition(kind, v1alpha1.ReasonRoutesFailed,
			fmt.Sprintf("%d of %d routes are not as wanted; status.routes.failed names them", len(r.Routes.Failed), r.Routes.Wanted), false)
	case missing > 0:
		return condition(kind, v1alpha1.ReasonPending, fmt.Sprintf("%d of %d routes are not in the kernel yet", missing, r.Routes.Wanted), false)
	case r.Routes.Stale > 0:
		return condition(kind, v1alpha1.ReasonPending,
			fmt.Sprintf("%d routes of an earlier process stay until all peers have been heard", r.Routes.Stale), false)
	}
	return condition(kind, v1alpha1.ReasonInSync, "", true)
}

// hostCondition tells of required settings first: the message may be cut short.
func hostCondition(r *Report) metav1.Condition {
	const kind = v1alpha1.ConditionHostReady
	reason, is := v1alpha1.ReasonHostReady, true
	var required, recommended []string
	for _, s := range r.Sysctls {
		if s.Required {
			reason, is = v1alpha1.ReasonForwardingDisabled, false
			required = append(required, s.Text)
			continue
		}
		recommended = append(recommended, s.Text)
	}
	if is && len(recommended) > 0 {
		reason = v1alpha1.ReasonSysctlsDiffer
	}
	return condition(kind, reason, strings.Join(append(required, recommended...), "; "), is)
}

// maxContestsNamed bounds the routes that a condition's message names one by one.
const maxContestsNamed = 3

// contested names routes that something else keeps undoing.
func contested(list []routes.Contest) string {
	var parts []string
	for _, c := range list[:min(len(list), maxContestsNamed)] {
		parts = append(parts, fmt.Sprintf("%s metric %d: %s", c.Key.Prefix, c.Key.Metric, c.By))
	}
	if more := len(list) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more routes", more))
	}
	return "routes are undone as soon as they are put back, so this now waits longer each time: " + strings.Join(parts, "; ")
}

// sessionRows returns the sessions that are not Established first, then by name, so that
// the bound cuts off healthy ones.
func sessionRows(sessions []Session) []v1alpha1.SessionStatus {
	worst := slices.Clone(sessions)
	slices.SortFunc(worst, func(a, b Session) int {
		return cmp.Or(cmp.Compare(up(a), up(b)), cmp.Compare(a.Object, b.Object), a.Address.Compare(b.Address))
	})
	var rows []v1alpha1.SessionStatus
	for _, s := range worst {
		rows = append(rows, sessionRow(s))
	}
	return rows
}

func up(s Session) int {
	if s.State == bgp.Established {
		return 1
	}
	return 0
}

func sessionRow(s Session) v1alpha1.SessionStatus {
	row := v1alpha1.SessionStatus{
		Peer:            truncate(cmp.Or(s.Object, s.Peer), maxPeer),
		Address:         s.Address.String(),
		ASN:             int64(s.ASN),
		State:           v1alpha1.SessionState(cmp.Or(s.State, bgp.Idle)),
		LastError:       valid(s.LastError),
		HoldTimeSeconds: count(int(s.HoldTime / time.Second)),
		Capabilities:    slices.Clone(s.Capabilities),
	}
	if !s.Since.IsZero() {
		since := seconds(s.Since)
		row.Since = &since
	}
	for _, f := range s.Families {
		row.Families = append(row.Families, v1alpha1.FamilyStatus{
			Family:     v1alpha1.Family(f.Family.String()),
			Received:   count(f.Received),
			Accepted:   count(f.Accepted),
			Advertised: count(f.Advertised),
		})
	}
	slices.SortFunc(row.Families, func(a, b v1alpha1.FamilyStatus) int { return cmp.Compare(a.Family, b.Family) })
	return row
}

// failedRows has one row for each prefix: the schema's key.
func failedRows(r *Report) []v1alpha1.FailedRoute {
	var rows []v1alpha1.FailedRoute
	named := map[string]bool{}
	for _, f := range r.Routes.Failed {
		prefix := f.Route.Prefix.String()
		if named[prefix] {
			continue
		}
		if len(rows) == v1alpha1.MaxFailedRoutes {
			break
		}
		named[prefix] = true
		reason := "not said"
		if f.Err != nil {
			reason = f.Err.Error()
		}
		rows = append(rows, v1alpha1.FailedRoute{Prefix: prefix, Reason: reason})
	}
	return rows
}

// refusedRows sums over the peers; the most frequent reason comes first.
func refusedRows(refusals map[Refusal]int) []v1alpha1.RefusedCount {
	sums := map[string]int{}
	for refusal, n := range refusals {
		if n > 0 {
			sums[refusal.Reason] += n
		}
	}
	return refusedCounts(sums)
}

// refusedCounts returns counts by reason, the greatest first.
func refusedCounts(sums map[string]int) []v1alpha1.RefusedCount {
	var rows []v1alpha1.RefusedCount
	for reason, n := range sums {
		rows = append(rows, v1alpha1.RefusedCount{Reason: reason, Count: count(n)})
	}
	slices.SortFunc(rows, func(a, b v1alpha1.RefusedCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return rows
}

// problemRows names the objects that are not accepted, then what else is not done. What a
// verdict has said is not said again.
func problemRows(r *Report) []v1alpha1.Problem {
	var rows []v1alpha1.Problem
	judged := map[Problem]bool{}
	for _, v := range r.Verdicts {
		if !v.Accepted {
			p := Problem{Kind: v.Kind, Name: v.Name, Reason: v.Reason, Message: v.Message}
			judged[p] = true
			rows = append(rows, problemRow(p))
		}
	}
	for _, p := range r.Problems {
		whole := p
		whole.Subject = ""
		if !judged[whole] {
			rows = append(rows, problemRow(p))
		}
	}
	return rows
}

func problemRow(p Problem) v1alpha1.Problem {
	message := p.Message
	if p.Subject != "" && !strings.Contains(message, p.Subject) {
		message = p.Subject + ": " + message
	}
	return v1alpha1.Problem{Kind: p.Kind, Name: p.Name, Reason: p.Reason, Message: valid(message)}
}

// advertisedRows tells what became of each advertisement; one that says nothing has a row too.
func advertisedRows(list []Advertised) []v1alpha1.AdvertisedState {
	var rows []v1alpha1.AdvertisedState
	for _, a := range list {
		row := v1alpha1.AdvertisedState{Name: a.Name, Source: a.Source, Advertised: count(a.Advertised)}
		rejected := maps.Clone(a.Rejected)
		if a.Down > 0 {
			if rejected == nil {
				rejected = map[string]int{}
			}
			rejected[v1alpha1.ReasonSessionsDown] += a.Down
		}
		row.Rejected = refusedCounts(rejected)
		rows = append(rows, row)
	}
	return rows
}

// seconds is a time as the API keeps it: what is read back equals what was written.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

// count fits a count into the schema's integers.
func count(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }

// valid replaces bytes that are no UTF-8: words of a peer may hold any (RFC 9003).
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// truncate cuts a text to at most limit characters and shows that it did.
func truncate(s string, limit int) string {
	s = valid(s)
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
