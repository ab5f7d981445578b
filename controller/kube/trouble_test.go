package kube

import (
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

func TestTroubleIsToldInOneLineThatSaysWhatToDo(t *testing.T) {
	nodes, speakers := resource{name: "nodes"}, resource{name: "bgpspeakers", ours: true}
	group := schema.GroupResource{Resource: "x"}
	refused := &url.Error{Op: "Get", URL: "https://a/b", Err: &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}
	for _, c := range []struct {
		err  error
		of   resource
		want class
		text string
	}{
		{nil, nodes, fine, ""},
		{refused, nodes, unreachable, "the API server h cannot be reached: dial: connect: connection refused"},
		{&url.Error{Op: "Get", URL: "https://a/b", Err: errors.New("x509:\nunknown authority")}, nodes, unreachable, "the API server h cannot be reached: x509: unknown authority"},
		{apierrors.NewUnauthorized("x"), nodes, unauthorized, "the API server h does not accept our credentials; renew the kubeconfig or the service account's token"},
		{apierrors.NewNotFound(group, ""), speakers, notServed, "the CRDs of bgp.fairway.dev are not installed; run: kubectl apply -k deploy/crds"},
		{apierrors.NewNotFound(group, ""), nodes, notServed, "the API server h does not serve nodes"},
		{apierrors.NewForbidden(group, "", errors.New("no")), nodes, forbidden, "reading nodes is forbidden: x is forbidden: no; grant it as deploy/kustomize/base does"},
		{apierrors.NewInternalError(errors.New("boom")), nodes, otherTrouble, "reading nodes: Internal error occurred: boom"},
	} {
		if got := troubleOf(c.err, "h", c.of); got != (trouble{c.want, c.text}) {
			t.Errorf("%v:\ngot  %+v\nwant %+v", c.err, got, trouble{c.want, c.text})
		}
	}
}

func TestConfigSaysWhatToDo(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("a: [b\nc"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for path, want := range map[string]string{
		"/does/not/exist": "no such file or directory; name a file that kubectl accepts with --kubeconfig",
		broken:            "; name a file that kubectl accepts with --kubeconfig",
		empty:             "; name a file that kubectl accepts with --kubeconfig",
		"":                "name one with --kubeconfig, or read a folder of manifests with --source=dir:PATH",
	} {
		_, err := Config(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) {
			t.Errorf("Config(%q): %v; want one line with %q", path, err, want)
		}
	}
}

func TestCountersAloneAreNoNewState(t *testing.T) {
	status := func(received int32, reason string, ready metav1.ConditionStatus) v1alpha1.BGPNodeStateStatus {
		return v1alpha1.BGPNodeStateStatus{
			Sessions: []v1alpha1.SessionStatus{{Peer: "a", Families: []v1alpha1.FamilyStatus{{Family: "IPv4Unicast", Received: received}}}},
			Routes: v1alpha1.RoutesStatus{Wanted: received, Installed: received,
				Refused: []v1alpha1.RefusedCount{{Reason: reason, Count: received}, {Reason: "Z", Count: 5}}},
			Conditions: []metav1.Condition{{Type: "Ready", Status: ready}},
		}
	}
	before := status(1, "A", metav1.ConditionTrue)
	if !sameState(before, status(9, "A", metav1.ConditionTrue)) {
		t.Error("counters count as state")
	}
	if sameState(before, status(1, "B", metav1.ConditionTrue)) {
		t.Error("a new reason of refusals is no state")
	}
	if sameState(before, status(1, "A", metav1.ConditionFalse)) {
		t.Error("a condition is no state")
	}
	if before.Routes.Wanted != 1 || before.Sessions[0].Families[0].Received != 1 {
		t.Error("what was compared has changed")
	}
}
