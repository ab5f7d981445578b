package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// fieldOwner is the field manager of what Apply writes.
const fieldOwner = "fairway-test"

// crdTimeout is how long the server may take to serve a new kind.
const crdTimeout = 30 * time.Second

// Apply makes the objects of the manifests be so, each with server-side apply
// and strict about unknown fields. It goes on past objects that are refused and
// returns all refusals joined; the apierrors functions see through the wrapping.
func (cp *ControlPlane) Apply(ctx context.Context, manifests ...[]byte) error {
	return eachObject(manifests, func(obj *unstructured.Unstructured) error {
		if _, err := cp.objects.apply(ctx, obj, nil); err != nil {
			return fmt.Errorf("applying %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		return nil
	})
}

// DryRun has the server judge the objects as on creation, with strict field
// validation, without storing them, and returns them with the server's defaults.
// An object that exists is judged as a change of it.
func (cp *ControlPlane) DryRun(ctx context.Context, manifests ...[]byte) ([]*unstructured.Unstructured, error) {
	var judged []*unstructured.Unstructured
	err := eachObject(manifests, func(obj *unstructured.Unstructured) error {
		result, err := cp.objects.dryRun(ctx, obj)
		if err != nil {
			return fmt.Errorf("trying %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		judged = append(judged, result)
		return nil
	})
	return judged, err
}

// Delete deletes the objects of the manifests. One that is gone is no error.
func (cp *ControlPlane) Delete(ctx context.Context, manifests ...[]byte) error {
	return eachObject(manifests, func(obj *unstructured.Unstructured) error {
		resource, err := cp.objects.resource(obj)
		if err != nil {
			return err
		}
		if err := resource.Delete(ctx, obj.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		return nil
	})
}

// ApplyCRDs applies every *.yaml file of dir and returns when the server serves
// the kinds that they define.
func (cp *ControlPlane) ApplyCRDs(ctx context.Context, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("applying CRDs: no *.yaml in %s", dir)
	}
	var manifests [][]byte
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("applying CRDs: %w", err)
		}
		manifests = append(manifests, content)
	}
	if err := cp.Apply(ctx, manifests...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, crdTimeout)
	defer cancel()
	return eachObject(manifests, func(obj *unstructured.Unstructured) error {
		return cp.objects.waitServed(ctx, obj)
	})
}

// eachObject calls f for each object of the manifests, in order, and joins the errors.
func eachObject(manifests [][]byte, f func(*unstructured.Unstructured) error) error {
	var failures []error
	for _, manifest := range manifests {
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				failures = append(failures, fmt.Errorf("reading a manifest: %w", err))
				break
			}
			obj, err := decode(document)
			if err != nil {
				failures = append(failures, fmt.Errorf("reading a manifest: %w", err))
			} else if obj != nil {
				failures = append(failures, f(obj))
			}
		}
	}
	return errors.Join(failures...)
}

// decode returns nil for a document that holds nothing but comments.
func decode(document []byte) (*unstructured.Unstructured, error) {
	asJSON, err := yaml.YAMLToJSONStrict(document)
	if err != nil || string(asJSON) == "null" {
		return nil, err
	}
	obj := &unstructured.Unstructured{}
	return obj, obj.UnmarshalJSON(asJSON)
}

// objects reads and writes objects of any kind.
type objects struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func newObjects(config *rest.Config) (*objects, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &objects{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds))}, nil
}

// resource is where objects of obj's kind and namespace live. Without a
// namespace it is default.
func (o *objects) resource(obj *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := obj.GroupVersionKind()
	mapping, err := o.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		o.mapper.Reset() // the kind may be newer than what was discovered
		mapping, err = o.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return o.client.Resource(mapping.Resource), nil
	}
	namespace := obj.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return o.client.Resource(mapping.Resource).Namespace(namespace), nil
}

func (o *objects) apply(ctx context.Context, obj *unstructured.Unstructured, dryRun []string) (*unstructured.Unstructured, error) {
	resource, err := o.resource(obj)
	if err != nil {
		return nil, err
	}
	body, err := obj.MarshalJSON()
	if err != nil {
		return nil, err
	}
	force := true
	return resource.Patch(ctx, obj.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager: fieldOwner, Force: &force, FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun,
	})
}

// dryRun tries to create obj, because the words of a refused creation are what a
// user of kubectl sees; server-side apply has others for unknown fields and keys
// that occur twice.
func (o *objects) dryRun(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	resource, err := o.resource(obj)
	if err != nil {
		return nil, err
	}
	result, err := resource.Create(ctx, obj, metav1.CreateOptions{
		FieldManager: fieldOwner, FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll},
	})
	if apierrors.IsAlreadyExists(err) {
		return o.apply(ctx, obj, []string{metav1.DryRunAll})
	}
	return result, err
}

// waitServed waits until the server answers for the kind that crd defines. The
// condition Established comes a little earlier.
func (o *objects) waitServed(ctx context.Context, crd *unstructured.Unstructured) error {
	for {
		last := o.served(ctx, crd)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for CRD %s: %w (last: %w)", crd.GetName(), ctx.Err(), last)
		case <-time.After(poll):
		}
	}
}

func (o *objects) served(ctx context.Context, crd *unstructured.Unstructured) error {
	resource, err := o.resource(crd)
	if err != nil {
		return err
	}
	live, err := resource.Get(ctx, crd.GetName(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	conditions, _, err := unstructured.NestedSlice(live.Object, "status", "conditions")
	if err != nil || !hasTrue(conditions, "Established") {
		return fmt.Errorf("not Established: %v", conditions)
	}
	group, _, _ := unstructured.NestedString(live.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(live.Object, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(live.Object, "spec", "versions")
	for _, version := range versions {
		fields, _ := version.(map[string]any)
		if fields["served"] != true {
			continue
		}
		name, _ := fields["name"].(string)
		gvr := schema.GroupVersionResource{Group: group, Version: name, Resource: plural}
		if _, err := o.client.Resource(gvr).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
			return err
		}
	}
	return nil
}

func hasTrue(conditions []any, wanted string) bool {
	for _, condition := range conditions {
		fields, _ := condition.(map[string]any)
		if fields["type"] == wanted && fields["status"] == string(metav1.ConditionTrue) {
			return true
		}
	}
	return false
}
