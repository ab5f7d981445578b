package dir

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// Kinds of Kubernetes' own that are read.
const (
	kindNode        = "Node"
	kindNamespace   = "Namespace"
	kindService     = "Service"
	kindSlice       = "EndpointSlice"
	kindSecret      = "Secret"
	kindServiceCIDR = "ServiceCIDR"
	kindList        = "List"
)

// groups are the kinds that are read and the API groups that they must be of. ServiceCIDR
// was networking.k8s.io/v1beta1 before Kubernetes 1.33, with the same fields.
var groups = map[string][]string{
	kindNode:                      {"v1"},
	kindNamespace:                 {"v1"},
	kindService:                   {"v1"},
	kindSlice:                     {"discovery.k8s.io/v1"},
	kindSecret:                    {"v1"},
	kindList:                      {"v1"},
	kindServiceCIDR:               {"networking.k8s.io/v1", "networking.k8s.io/v1beta1"},
	v1alpha1.KindBGPSpeaker:       {v1alpha1.SchemeGroupVersion.String()},
	v1alpha1.KindBGPPeer:          {v1alpha1.SchemeGroupVersion.String()},
	v1alpha1.KindBGPAdvertisement: {v1alpha1.SchemeGroupVersion.String()},
}

// unread are kinds that often stand beside those that are read, and that say nothing to
// Fairway: nobody need hear that they are left out.
var unread = []string{"Endpoints", "Pod", v1alpha1.KindBGPNodeState}

// object is one object of a file.
type object struct {
	kind string
	key  string // namespace/name for Services and EndpointSlices, else the name
	file string
	line int
	// value is *corev1.Node, *corev1.Namespace, *corev1.Service, *discoveryv1.EndpointSlice,
	// *corev1.Secret, *networkingv1.ServiceCIDR, *v1alpha1.BGPSpeaker, *v1alpha1.BGPPeer or *v1alpha1.BGPAdvertisement.
	value metav1.Object
	// rejected says why the object cannot be read as it stands; value is then what it last was,
	// nil where that is not known.
	rejected string
}

func (o object) String() string { return o.kind + " " + o.key }

// ours reports whether the object is of a kind that has conditions.
func (o object) ours() bool { return judged(o.kind) }

// problem says of a rejected object why it is, and what is at work in its place.
func (o object) problem() string {
	text := fmt.Sprintf("%s cannot be read as it stands in %s: %s", o.kind, o.file, o.rejected)
	if o.value != nil {
		text += "; the last form that could be read stays at work"
	}
	return text
}

// problems are none of an object that is not rejected.
func (o object) problems() []string {
	if o.rejected == "" {
		return nil
	}
	return []string{o.problem()}
}

// parseFile returns what can be read of a file, and what cannot.
func parseFile(file string, data []byte) ([]object, []Problem) {
	if len(strings.TrimSpace(string(data))) == 0 {
		// Most likely it is being written; its objects must not vanish for that.
		return nil, []Problem{{File: file, Line: 1, Broken: true,
			Message: "the file is empty; remove it if its objects are to go"}}
	}
	docs, problems := documents(file, data)
	var objects []object
	for _, d := range docs {
		found, bad := d.objects(file)
		objects, problems = append(objects, found...), append(problems, bad...)
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	return objects, problems
}

// objects decodes a document: one object, or those of a List.
func (d *document) objects(file string) ([]object, []Problem) {
	var list struct {
		metav1.TypeMeta `json:",inline"`
		Items           []json.RawMessage `json:"items"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.json, &list); err != nil || list.Kind != kindList {
		return d.object(file, d.json, "")
	}
	var objects []object
	var problems []Problem
	for i, item := range list.Items {
		found, bad := d.object(file, item, fmt.Sprintf("items[%d]", i))
		objects, problems = append(objects, found...), append(problems, bad...)
	}
	return objects, problems
}

// object decodes one object, which stands at path within the document. It returns none for
// kinds that are not read. An object that is wrong in itself is rejected alone; where it
// cannot be told which one it is, the file as a whole is broken.
func (d *document) object(file string, data []byte, path string) ([]object, []Problem) {
	line := d.lineOf(path)
	problem := func(line int, broken bool, format string, args ...any) []Problem {
		return []Problem{{File: file, Line: line, Message: fmt.Sprintf(format, args...), Broken: broken, Ignored: !broken}}
	}
	var head metav1.PartialObjectMetadata
	// What is wrong within the metadata does not keep the rest of it from being read.
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &head); err != nil && (head.Kind == "" || head.Name == "") {
		return nil, problem(d.lineOf(join(path, fieldOf(err))), true, "not a Kubernetes object: %s", words(err))
	}
	if head.Kind == "" || head.APIVersion == "" {
		return nil, problem(line, true, "not a Kubernetes object: apiVersion and kind must be set")
	}
	allowed, known := groups[head.Kind]
	ours := strings.HasPrefix(head.APIVersion, v1alpha1.GroupName+"/")
	switch {
	case slices.Contains(unread, head.Kind):
		return nil, nil
	case !known && ours:
		return nil, problem(line, true, "%s has no kind %s", v1alpha1.GroupName, head.Kind)
	case ours && !slices.Contains(allowed, head.APIVersion):
		return nil, problem(line, true, "%s has apiVersion %s; this release reads %s", head.Kind, head.APIVersion, strings.Join(allowed, " or "))
	case !slices.Contains(allowed, head.APIVersion): // Knative has a Service too
		return nil, problem(line, false, "%s of %s is not read and has no effect", head.Kind, head.APIVersion)
	case head.Kind == kindList:
		return nil, problem(line, true, "a List cannot stand inside a List")
	}
	if wrong := validation.NameIsDNSSubdomain(head.Name, false); len(wrong) > 0 {
		return nil, problem(d.lineOf(join(path, "metadata.name")), true, "%s has metadata.name %q: %s", head.Kind, head.Name, wrong[0])
	}
	o := object{kind: head.Kind, key: head.Name, file: file, line: line}
	if err := o.decode(data); err != nil {
		o.value, o.rejected = nil, words(err)
		return []object{o}, []Problem{{File: file, Line: d.lineOf(join(path, fieldOf(err))), Message: fmt.Sprintf("%s: %s", o, o.rejected)}}
	}
	return []object{o}, nil
}

// decode fills value. A field that is unknown is an error in our own kinds; in those of
// Kubernetes it may come from a newer release, and is passed over.
func (o *object) decode(data []byte) error {
	switch o.kind {
	case kindNode:
		return lenient(o, data, &corev1.Node{})
	case kindServiceCIDR:
		return lenient(o, data, &networkingv1.ServiceCIDR{})
	case kindSecret:
		secret := &corev1.Secret{}
		defer func() { mergeStringData(secret) }()
		return lenient(o, data, secret)
	case kindNamespace:
		return lenient(o, data, &corev1.Namespace{})
	case kindService:
		return o.namespaced(lenient(o, data, &corev1.Service{}))
	case kindSlice:
		return o.namespaced(lenient(o, data, &discoveryv1.EndpointSlice{}))
	case v1alpha1.KindBGPSpeaker:
		speaker := &v1alpha1.BGPSpeaker{}
		err := strict(o, data, speaker)
		v1alpha1.SetDefaultsBGPSpeaker(speaker)
		speaker.Status = v1alpha1.BGPSpeakerStatus{}
		return err
	case v1alpha1.KindBGPPeer:
		peer := &v1alpha1.BGPPeer{}
		err := strict(o, data, peer)
		v1alpha1.SetDefaultsBGPPeer(peer)
		peer.Status = v1alpha1.BGPPeerStatus{}
		return err
	case v1alpha1.KindBGPAdvertisement:
		advertisement := &v1alpha1.BGPAdvertisement{}
		err := strict(o, data, advertisement)
		v1alpha1.SetDefaultsBGPAdvertisement(advertisement)
		advertisement.Status = v1alpha1.BGPAdvertisementStatus{}
		return err
	}
	return fmt.Errorf("kind %s is not read", o.kind)
}

// namespaced puts an object that names no namespace into the default one.
func (o *object) namespaced(err error) error {
	if o.value.GetNamespace() == "" {
		o.value.SetNamespace(metav1.NamespaceDefault)
	}
	o.key = o.value.GetNamespace() + "/" + o.value.GetName()
	return err
}

func lenient(o *object, data []byte, into metav1.Object) error {
	o.value = into
	return kjson.UnmarshalCaseSensitivePreserveInts(data, into)
}

func strict(o *object, data []byte, into metav1.Object) error {
	o.value = into
	unknown, err := kjson.UnmarshalStrict(data, into)
	return errors.Join(append([]error{err}, unknown...)...)
}

// mergeStringData does what an API server does: stringData wins over data.
func mergeStringData(secret *corev1.Secret) {
	if len(secret.StringData) == 0 {
		return
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for _, key := range slices.Sorted(maps.Keys(secret.StringData)) {
		secret.Data[key] = []byte(secret.StringData[key])
	}
	secret.StringData = nil
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// fieldOf returns the path of the field that the first error is about; "" when it names none.
func fieldOf(err error) string {
	if wrongType := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrongType) {
		return wrongType.Field
	}
	if unknown := kjson.FieldError(nil); errors.As(err, &unknown) {
		return unknown.FieldPath()
	}
	return ""
}

// words puts an error of the decoder on one line, in the words of the manifest rather than
// of our Go types.
func words(err error) string {
	if wrongType := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrongType) {
		return fmt.Sprintf("%s must be %s, not a %s", cmp.Or(wrongType.Field, "it"), describe(wrongType.Type), wrongType.Value)
	}
	return strings.ReplaceAll(strings.TrimPrefix(err.Error(), "json: "), "\n", "; ")
}

// describe names a Go type as the writer of a manifest knows it.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int32, reflect.Int64, reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	}
	return "a mapping"
}
