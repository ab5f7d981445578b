package dir

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// Problem is something in a file that is not used as it stands, and why.
type Problem struct {
	File    string
	Line    int // from 1; 0 when the whole file is meant
	Message string
	// Broken reports whether the file says something that cannot be understood. Then all
	// of its last good copy stays in use, where there is one.
	Broken bool
	// Ignored reports whether it is merely something that means nothing to Fairway.
	Ignored bool
}

// String returns "file:line: message".
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Parse reads manifests, by file name, with the defaults of the API set: a pure function.
// What cannot be used is left out and named, in the order of files and lines. An object
// that stands in several files counts as it is in the first, by name.
func Parse(files map[string][]byte) (*snapshot.Snapshot, []Problem) {
	var objects []object
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(files)) {
		found, bad := parseFile(name, files[name])
		objects, problems = append(objects, found...), append(problems, bad...)
	}
	snap, twice := assemble(objects)
	return snap, sorted(append(problems, twice...))
}

func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return problems
}

// assemble makes a snapshot of objects. Of those with the same kind and name the first counts.
func assemble(objects []object) (*snapshot.Snapshot, []Problem) {
	snap := &snapshot.Snapshot{
		Nodes:          map[string]*snapshot.Node{},
		Speakers:       map[string]*v1alpha1.BGPSpeaker{},
		Peers:          map[string]*v1alpha1.BGPPeer{},
		Advertisements: map[string]*v1alpha1.BGPAdvertisement{},
		Passwords:      map[string]snapshot.Password{},
		Namespaces:     map[string]*snapshot.Namespace{},
	}
	var problems []Problem
	many := large{services: map[string]*snapshot.Service{}, slices: map[string]*snapshot.EndpointSlice{}}
	first := map[string]object{}
	for _, o := range objects {
		if earlier, twice := first[o.String()]; twice {
			problems = append(problems, Problem{File: o.file, Line: o.line,
				Message: fmt.Sprintf("%s stands in %s:%d already, which counts; remove one of the two", o, earlier.file, earlier.line)})
			continue
		}
		first[o.String()] = o
		put(snap, many, o)
	}
	snap.Services, snap.Slices = cow.Of(many.services), cow.Of(many.slices)
	slices.SortFunc(snap.Unreadable, func(a, b snapshot.Unreadable) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(snap.APIServers, netip.Addr.Compare)
	snap.APIServers = slices.Compact(snap.APIServers)
	slices.SortFunc(snap.ServiceCIDRs, netip.Prefix.Compare)
	snap.ServiceCIDRs = slices.Compact(snap.ServiceCIDRs)
	return snap, problems
}

// large are the collections that a snapshot holds in another form.
type large struct {
	services map[string]*snapshot.Service
	slices   map[string]*snapshot.EndpointSlice
}

func put(snap *snapshot.Snapshot, many large, o object) {
	if o.rejected != "" && o.ours() {
		snap.Unreadable = append(snap.Unreadable, snapshot.Unreadable{Kind: o.kind, Name: o.key, Message: o.problem()})
	}
	switch v := o.value.(type) {
	case *corev1.Node:
		node := snapshot.NodeFrom(v)
		node.Problems = append(node.Problems, o.problems()...)
		snap.Nodes[o.key] = node
	case *corev1.Service:
		if service := snapshot.ServiceFrom(v); service != nil {
			service.Problems = append(service.Problems, o.problems()...)
			many.services[o.key] = service
		}
	case *discoveryv1.EndpointSlice:
		if slice := snapshot.SliceFrom(v); slice != nil {
			many.slices[o.key] = slice
		}
		snap.APIServers = append(snap.APIServers, snapshot.APIServersFrom(v)...)
	case *corev1.Namespace:
		snap.Namespaces[o.key] = snapshot.NamespaceFrom(v)
	case *corev1.Secret:
		snap.Passwords[o.key] = snapshot.PasswordFrom(v)
	case *networkingv1.ServiceCIDR:
		snap.ServiceCIDRs = append(snap.ServiceCIDRs, snapshot.ServiceCIDRsFrom(v)...)
	case *v1alpha1.BGPSpeaker:
		snap.Speakers[o.key] = v
	case *v1alpha1.BGPPeer:
		snap.Peers[o.key] = v
	case *v1alpha1.BGPAdvertisement:
		snap.Advertisements[o.key] = v
	}
}
