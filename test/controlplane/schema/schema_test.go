// Package schema holds the CRDs against the pure Go of api/v1alpha1. It keeps
// these true: an API server and the agent's own reading of a folder give the same
// verdict on an object, in words that point to the same place, and fill in the
// same defaults.
package schema

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/test/controlplane"
)

const (
	crds     = "../../../deploy/crds"
	testdata = "../../../api/v1alpha1/testdata"
)

func TestSchemaAndGoValidationAgree(t *testing.T) {
	cp := controlplane.Start(t, controlplane.Options{})
	if err := cp.ApplyCRDs(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
	defaulted := 0
	for _, path := range examples(t, "valid/*") {
		t.Run("valid "+filepath.Base(path), func(t *testing.T) {
			if checkAccepted(t, cp, path) {
				defaulted++
			}
		})
	}
	if defaulted == 0 {
		t.Error("no example leaves a default to be filled in, so nothing was compared")
	}
	for _, path := range examples(t, "invalid/*") {
		t.Run("invalid "+filepath.Base(path), func(t *testing.T) { checkRefused(t, cp, path) })
	}
	objects, err := dynamic.NewForConfig(cp.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	stored := objects.Resource(v1alpha1.SchemeGroupVersion.WithResource(v1alpha1.ResourceBGPPeers))
	peers := examples(t, "valid/peer-*")
	for _, path := range peers {
		t.Run("changes of valid "+filepath.Base(path), func(t *testing.T) { checkChanges(t, stored, path, peers) })
	}
}

func examples(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testdata, pattern+".yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s examples in %s: %v", pattern, testdata, err)
	}
	return paths
}

// checkAccepted reports whether there was a default to fill in.
func checkAccepted(t *testing.T, cp *controlplane.ControlPlane, path string) bool {
	manifest := read(t, path)
	judged, err := cp.DryRun(t.Context(), manifest)
	if err != nil {
		t.Errorf("the API server refuses it: %v", err)
	}
	ours, err := judge(manifest)
	if err != nil {
		t.Errorf("Go refuses it: %v", err)
	}
	if t.Failed() {
		return false
	}
	written, err := decode(manifest)
	if err != nil {
		t.Fatal(err)
	}
	theirs := written.DeepCopyObject()
	setZero(theirs)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(judged[0].Object, theirs); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(spec(ours), spec(theirs)) {
		t.Errorf("the defaults differ\nGo:\n%s\nAPI server:\n%s", text(t, spec(ours)), text(t, spec(theirs)))
	}
	return !reflect.DeepEqual(spec(written), spec(theirs))
}

// checkRefused wants both to refuse, and both to say what the first line of the
// example wants to be said.
func checkRefused(t *testing.T, cp *controlplane.ControlPlane, path string) {
	manifest := read(t, path)
	first, _, _ := strings.Cut(string(manifest), "\n")
	want, ok := strings.CutPrefix(first, "# want: ")
	if !ok {
		t.Fatalf("its first line is %q, want # want: and part of the message", first)
	}
	_, theirs := cp.DryRun(t.Context(), manifest)
	_, ours := judge(manifest)
	for who, err := range map[string]error{"the API server": theirs, "Go": ours} {
		switch {
		case err == nil:
			t.Errorf("%s accepts it", who)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%s says %q, want it to contain %q", who, err, want)
		}
	}
}

// checkChanges changes the peer of one example into those of all others: both refuse
// exactly those changes that name the router another way.
func checkChanges(t *testing.T, stored dynamic.ResourceInterface, path string, others []string) {
	before := read(t, path)
	old := judgedPeer(t, before)
	made, err := stored.Create(t.Context(), fieldsOf(t, before), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stored.Delete(t.Context(), made.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	for _, other := range others {
		after := read(t, other)
		changed := judgedPeer(t, after)
		want := ""
		if way(old) != way(changed) {
			want = "which of address, interface, defaultGateway and listenRange is set cannot be changed"
		}
		update := fieldsOf(t, after)
		update.SetResourceVersion(made.GetResourceVersion())
		_, theirs := stored.Update(t.Context(), update, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		ours := errors.Join(asErrors(changed.ValidateUpdate(old))...)
		for who, err := range map[string]error{"the API server": theirs, "Go": ours} {
			switch {
			case want == "" && err != nil:
				t.Errorf("to %s: %s says %v", filepath.Base(other), who, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("to %s: %s says %v, want %s", filepath.Base(other), who, err, want)
			}
		}
	}
}

func judgedPeer(t *testing.T, manifest []byte) *v1alpha1.BGPPeer {
	t.Helper()
	object, err := judge(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return object.(*v1alpha1.BGPPeer)
}

// way is how the peer names its router.
func way(p *v1alpha1.BGPPeer) string {
	switch {
	case p.Spec.Address != "":
		return "address"
	case p.Spec.Interface != "":
		return "interface"
	case p.Spec.DefaultGateway != nil:
		return "default gateway"
	}
	return "listen range"
}

// judge does in Go what an API server does with a new object: decode strictly,
// fill in defaults, validate.
func judge(manifest []byte) (runtime.Object, error) {
	object, err := decode(manifest)
	if err != nil {
		return nil, err
	}
	var errs field.ErrorList
	switch object := object.(type) {
	case *v1alpha1.BGPSpeaker:
		v1alpha1.SetDefaultsBGPSpeaker(object)
		errs = object.Validate()
	case *v1alpha1.BGPPeer:
		v1alpha1.SetDefaultsBGPPeer(object)
		errs = object.Validate()
	case *v1alpha1.BGPAdvertisement:
		v1alpha1.SetDefaultsBGPAdvertisement(object)
		errs = object.Validate()
	case *v1alpha1.BGPNodeState: // written by the agent alone: it has neither
	default:
		return nil, fmt.Errorf("this test does not know %T", object)
	}
	return object, errors.Join(asErrors(errs)...)
}

func asErrors(list field.ErrorList) []error {
	errs := make([]error, 0, len(list))
	for _, err := range list {
		errs = append(errs, err)
	}
	return errs
}

// decode reads the manifest's one object into its own type, without defaults.
func decode(manifest []byte) (runtime.Object, error) {
	fields, err := parse(manifest)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	object, err := scheme.New(fields.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	return object, yaml.UnmarshalStrict(manifest, object)
}

func parse(manifest []byte) (*unstructured.Unstructured, error) {
	fields := &unstructured.Unstructured{}
	asJSON, err := yaml.YAMLToJSON(manifest)
	if err != nil {
		return nil, err
	}
	return fields, fields.UnmarshalJSON(asJSON)
}

func fieldsOf(t *testing.T, manifest []byte) *unstructured.Unstructured {
	t.Helper()
	fields, err := parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

// setZero makes object its type's zero value.
func setZero(object runtime.Object) { reflect.ValueOf(object).Elem().SetZero() }

func spec(object runtime.Object) any {
	if field := reflect.ValueOf(object).Elem().FieldByName("Spec"); field.IsValid() {
		return field.Interface()
	}
	return nil
}

func text(t *testing.T, v any) string {
	t.Helper()
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
