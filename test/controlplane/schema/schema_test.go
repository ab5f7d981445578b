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

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
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
	for _, path := range examples(t, "valid") {
		t.Run("valid "+filepath.Base(path), func(t *testing.T) {
			if checkAccepted(t, cp, path) {
				defaulted++
			}
		})
	}
	if defaulted == 0 {
		t.Error("no example leaves a default to be filled in, so nothing was compared")
	}
	for _, path := range examples(t, "invalid") {
		t.Run("invalid "+filepath.Base(path), func(t *testing.T) { checkRefused(t, cp, path) })
	}
	t.Run("a peer's address cannot be changed", func(t *testing.T) { checkAddressStays(t, cp) })
}

func examples(t *testing.T, verdict string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testdata, verdict, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s examples in %s: %v", verdict, testdata, err)
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

const peer = `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: immutable}
spec: {address: %s, asn: 65001}
`

func checkAddressStays(t *testing.T, cp *controlplane.ControlPlane) {
	before, after := fmt.Appendf(nil, peer, "192.0.2.1"), fmt.Appendf(nil, peer, "192.0.2.2")
	if err := cp.Apply(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	old, err := judge(before)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := judge(after)
	if err != nil {
		t.Fatal(err)
	}
	_, theirs := cp.DryRun(t.Context(), after)
	ours := changed.(*v1alpha1.BGPPeer).ValidateUpdate(old.(*v1alpha1.BGPPeer)).ToAggregate()
	const want = "cannot be changed"
	if theirs == nil || !strings.Contains(theirs.Error(), want) {
		t.Errorf("the API server says %v, want %s", theirs, want)
	}
	if ours == nil || !strings.Contains(ours.Error(), want) {
		t.Errorf("Go says %v, want %s", ours, want)
	}
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
	fields := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(manifest, &fields.Object); err != nil {
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
