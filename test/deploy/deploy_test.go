// Package deploy tests what lies in deploy/: that a real API server takes every manifest as
// it stands, and that the service accounts may do what their programs do and no more.
package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	namespace = "fairway-system"
	accounts  = "system:serviceaccount:" + namespace + ":fairway-"
)

func TestRealAPIServerTakesEverything(t *testing.T) {
	cp := controlplane.Start(t, controlplane.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := cp.ApplyCRDs(ctx, crds); err != nil {
		t.Fatal(err)
	}
	if err := cp.Apply(ctx, rendered(t)); err != nil {
		t.Fatal(err)
	}
	files := exampleFiles(t)
	for _, example := range slices.Sorted(maps.Keys(files)) {
		t.Run("example "+example, func(t *testing.T) { takesExample(ctx, t, cp, files[example]) })
	}
	t.Run("but not an unknown field", func(t *testing.T) {
		broken := strings.Replace(string(read(t, examples+"/full-mesh/fairway.yaml")), "localASN:", "localAsn:", 1)
		if _, err := cp.DryRun(ctx, []byte(broken)); err == nil || !strings.Contains(err.Error(), "localAsn") {
			t.Errorf("localAsn for localASN: %v, want a refusal that names it", err)
		}
	})
	for who, requests := range map[string][]request{"agent": agentRequests, "controller": controllerRequests} {
		for _, r := range requests {
			t.Run(who+" "+r.String(), func(t *testing.T) { judgesAsWanted(ctx, t, cp, accounts+who, r) })
		}
	}
}

// takesExample has an example's objects judged as on creation, and none stored: examples are
// alternatives with names in common.
func takesExample(ctx context.Context, t *testing.T, cp *controlplane.ControlPlane, files []string) {
	for _, file := range files {
		if _, err := cp.DryRun(ctx, read(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// request is something that a user asks of the API server.
type request struct {
	verb, resource string // resource may be nodes/status and the like
	group, in      string
	name           string // of the object, where it counts
	allowed        bool
}

func (r request) String() string {
	may := "may not"
	if r.allowed {
		may = "may"
	}
	where := ""
	if r.in != "" {
		where = " in " + r.in
	}
	if r.name != "" {
		where += " named " + r.name
	}
	return fmt.Sprintf("%s %s %s%s", may, r.verb, r.resource, where)
}

var agentRequests = slices.Concat(
	requests(true, "get list watch", "", "", "nodes", "services", "namespaces"),
	requests(true, "get list watch", "discovery.k8s.io", "", "endpointslices"),
	requests(true, "get list watch", "networking.k8s.io", "", "servicecidrs"),
	requests(true, "get list watch", v1alpha1.GroupName, "", "bgpspeakers", "bgppeers", "bgpadvertisements", "bgpnodestates"),
	requests(true, "create update patch", v1alpha1.GroupName, "", "bgpnodestates"),
	requests(true, "get update patch", v1alpha1.GroupName, "", "bgpnodestates/status"),
	requests(true, "get list watch", "", namespace, "secrets"),
	requests(true, "create patch", "events.k8s.io", "default", "events"),
	requests(true, "create patch", "events.k8s.io", "shop", "events"),

	requests(false, "create update patch delete", "", "", "nodes", "services", "services/status", "nodes/status", "namespaces"),
	requests(false, "create update patch delete", "discovery.k8s.io", "", "endpointslices"),
	requests(false, "create update patch delete", v1alpha1.GroupName, "",
		"bgpspeakers", "bgppeers", "bgpadvertisements", "bgpspeakers/status", "bgppeers/status", "bgpadvertisements/status"),
	requests(false, "delete deletecollection", v1alpha1.GroupName, "", "bgpnodestates"),
	requests(false, "get list watch", "", "kube-system", "secrets"),
	requests(false, "get list watch", "", "", "secrets", "pods", "configmaps"),
	requests(false, "create update patch delete", "", namespace, "secrets"),
	requests(false, "create", "", namespace, "serviceaccounts/token", "pods"),
	requests(false, "get list watch update delete", "events.k8s.io", "default", "events"),
)

var controllerRequests = slices.Concat(
	requests(true, "get list watch", "", "", "nodes"),
	requests(true, "get list watch", v1alpha1.GroupName, "", "bgpspeakers", "bgppeers", "bgpadvertisements", "bgpnodestates"),
	requests(true, "get update patch", v1alpha1.GroupName, "", "bgpspeakers/status", "bgppeers/status", "bgpadvertisements/status"),
	requests(true, "create", "coordination.k8s.io", namespace, "leases"),
	named("fairway-controller", requests(true, "get update", "coordination.k8s.io", namespace, "leases")),

	requests(false, "create update patch delete deletecollection", v1alpha1.GroupName, "", "bgpspeakers", "bgppeers", "bgpadvertisements"),
	requests(false, "create update patch delete deletecollection", v1alpha1.GroupName, "", "bgpnodestates", "bgpnodestates/status"),
	requests(false, "create update patch delete", "", "", "nodes", "nodes/status", "services", "services/status"),
	requests(false, "get list watch", "", namespace, "secrets", "pods", "configmaps"),
	requests(false, "get update", "coordination.k8s.io", "kube-system", "leases"),
	named("another", requests(false, "get update delete", "coordination.k8s.io", namespace, "leases")),
)

func named(name string, all []request) []request {
	for i := range all {
		all[i].name = name
	}
	return all
}

// requests are those of each verb and resource.
func requests(allowed bool, verbs, group, in string, resources ...string) []request {
	var all []request
	for _, resource := range resources {
		for verb := range strings.FieldsSeq(verbs) {
			all = append(all, request{verb: verb, resource: resource, group: group, in: in, allowed: allowed})
		}
	}
	return all
}

func judgesAsWanted(ctx context.Context, t *testing.T, cp *controlplane.ControlPlane, user string, r request) {
	resource, subresource, _ := strings.Cut(r.resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   user,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.verb, Group: r.group, Resource: resource, Subresource: subresource, Namespace: r.in, Name: r.name,
		},
	}}
	// Rules reach the authorizer through a watch, a moment after they are stored.
	err := lab.Until(ctx, func() error {
		got, err := cp.Client().AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		switch {
		case err != nil:
			return lab.Never(err)
		case got.Status.Allowed != r.allowed:
			return fmt.Errorf("the API server still says allowed=%v: %s", got.Status.Allowed, got.Status.Reason)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
