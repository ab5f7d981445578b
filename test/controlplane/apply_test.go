package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

const boatCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.test.fairway.dev}
spec:
  group: test.fairway.dev
  names: {kind: Boat, listKind: BoatList, plural: boats, singular: boat}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              masts: {type: integer, minimum: 1, maximum: 5, default: 2}
              length: {type: integer, format: int64}
`

func boat(name, spec string) []byte {
	return []byte("# a comment\n---\napiVersion: test.fairway.dev/v1\nkind: Boat\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n")
}

// TestApply shares one control plane, as each takes seconds to start.
func TestApply(t *testing.T) {
	cp := Start(t, Options{})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "boats.yaml"), []byte(boatCRD), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cp.ApplyCRDs(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Run("a kind is served at once", func(t *testing.T) { testApply(t, cp) })
	t.Run("a refusal is returned and does not stop the rest", func(t *testing.T) { testApplyRefusal(t, cp) })
	t.Run("a dry run judges and stores nothing", func(t *testing.T) { testDryRun(t, cp) })
}

func testApply(t *testing.T, cp *ControlPlane) {
	ctx := t.Context()
	if err := cp.Apply(ctx, boat("argo", "length: 4200000000")); err != nil {
		t.Fatal(err)
	}
	if got, want := readBoat(t, cp, "argo"), int64(4200000000); got["length"] != want || got["masts"] != int64(2) {
		t.Errorf("stored as %v, want length %d and the default of 2 masts", got, want)
	}
	if err := cp.Apply(ctx, boat("argo", "masts: 3")); err != nil {
		t.Fatal(err)
	}
	if got := readBoat(t, cp, "argo"); got["masts"] != int64(3) || got["length"] != nil {
		t.Errorf("after a second Apply it is %v, want 3 masts and no length", got)
	}
	if err := cp.Delete(ctx, boat("argo", "")); err != nil {
		t.Fatal(err)
	}
	if err := cp.Delete(ctx, boat("argo", "")); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
}

func testApplyRefusal(t *testing.T, cp *ControlPlane) {
	err := cp.Apply(t.Context(), boat("bad", "masts: 9"), boat("good", "masts: 1"))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "Boat bad") || !strings.Contains(err.Error(), "spec.masts") {
		t.Errorf("got %v, want an Invalid that names the object and the field", err)
	}
	if got := readBoat(t, cp, "good"); got["masts"] != int64(1) {
		t.Errorf("the good object is %v", got)
	}
}

func testDryRun(t *testing.T, cp *ControlPlane) {
	ctx := t.Context()
	judged, err := cp.DryRun(ctx, boat("argo", "length: 7"))
	if err != nil {
		t.Fatal(err)
	}
	if masts, _, _ := unstructured.NestedInt64(judged[0].Object, "spec", "masts"); masts != 2 {
		t.Errorf("masts is %d, want the default of 2", masts)
	}
	for name, test := range map[string]struct{ spec, want string }{
		"out of range":  {"masts: 0", "spec.masts"},
		"unknown field": {"sails: 3", `unknown field "spec.sails"`},
	} {
		if _, err := cp.DryRun(ctx, boat("argo", test.spec)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	if _, err := boats(t, cp).Get(ctx, "argo", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the boat is stored: %v", err)
	}
	if err := cp.Apply(ctx, boat("argo", "")); err != nil {
		t.Fatal(err)
	}
	if _, err := cp.DryRun(ctx, boat("argo", "masts: 9")); !apierrors.IsInvalid(err) {
		t.Errorf("changing an object that exists: got %v, want Invalid", err)
	}
}

func TestApplyCRDsRefusesAnEmptyFolder(t *testing.T) {
	cp := &ControlPlane{}
	if err := cp.ApplyCRDs(t.Context(), t.TempDir()); err == nil {
		t.Error("an empty folder was accepted")
	}
}

func readBoat(t *testing.T, cp *ControlPlane, name string) map[string]any {
	t.Helper()
	live, err := boats(t, cp).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec, _, _ := unstructured.NestedMap(live.Object, "spec")
	return spec
}

func boats(t *testing.T, cp *ControlPlane) dynamic.ResourceInterface {
	t.Helper()
	obj, err := decode(boat("any", ""))
	if err != nil {
		t.Fatal(err)
	}
	resource, err := cp.objects.resource(obj)
	if err != nil {
		t.Fatal(err)
	}
	return resource
}
