package v1alpha1_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// withEffect are the fields that do something in this release; of an enumeration, the
// values that do. A default needs no line. Whatever is in neither this list nor that of
// NotImplemented would do nothing, silently.
var withEffect = map[string][]string{
	v1alpha1.KindBGPSpeaker: {
		"spec.nodeSelector", "spec.localASN", "spec.localASNFrom.nodeLabel",
		"spec.routerID NodeIPv4", "spec.routerID NodeNameHash", "spec.listenPort",
		"spec.cluster.podCIDRs", "spec.cluster.serviceCIDRs", "spec.cluster.nodeCIDRs",
		"spec.topology.type None", "spec.topology.type RouteReflectors", "spec.topology.type FullMeshAndReflectors",
		"spec.topology.scope All", "spec.topology.passwordSecretRef.name", "spec.topology.clusterID",
		"spec.topology.reflectors",
		"spec.gracefulRestart.enabled", "spec.gracefulRestart.restartTimeSeconds",
		"spec.gracefulRestart.deferralSeconds", "spec.gracefulRestart.staleSweepSeconds",
		"spec.gracefulRestart.notification", "spec.gracefulRestart.longLivedStaleSeconds",
		"spec.bmp.address", "spec.bmp.port", "spec.bmp.policy PrePolicy", "spec.bmp.policy PostPolicy", "spec.bmp.policy Both", "spec.bmp.policy LocalRIB", "spec.bmp.policy All",
		"spec.kernel.table", "spec.kernel.metric", "spec.kernel.maxPaths", "spec.kernel.resolveViaDefault",
		"spec.kernel.protectedPrefixes",
		"spec.readiness.dataplaneDelayMilliseconds", "spec.readiness.probes.name", "spec.readiness.probes.http.address",
		"spec.readiness.probes.http.port", "spec.readiness.probes.http.path", "spec.readiness.probes.file.path",
	},
	v1alpha1.KindBGPPeer: {
		"spec.nodeSelector", "spec.address", "spec.interface", "spec.listenRange", "spec.port", "spec.asn", "spec.asnType Internal", "spec.asnType External",
		"spec.localASN", "spec.localAddress", "spec.localInterface", "spec.extendedNextHop", "spec.passive", "spec.ttlSecurityHops", "spec.allowOwnAS",
		"spec.addPaths.receive", "spec.addPaths.sendMax",
		"spec.defaultGateway.family IPv4", "spec.defaultGateway.family IPv6", "spec.adminState Down", "spec.adminMessage", "spec.import.localPref",
		"spec.import.maxPrefixes", "spec.import.maxPrefixesAction Shutdown", "spec.import.maxPrefixesRestartSeconds",
		"spec.timers.holdTimeSeconds", "spec.timers.keepaliveTimeSeconds", "spec.timers.connectRetrySeconds",
		"spec.passwordSecretRef.name", "spec.ebgpMultihopTTL",
		"spec.families IPv4Unicast", "spec.families IPv6Unicast", "spec.gracefulRestart.enabled",
		"spec.import.allow.prefix", "spec.import.allow.minLength", "spec.import.allow.maxLength",
	},
	v1alpha1.KindBGPAdvertisement: {
		"spec.nodeSelector", "spec.to.peerSelector", "spec.to.mesh", "spec.podCIDRs", "spec.prefixes.prefix", "spec.prefixes.force",
		"spec.fromMesh.podCIDRs", "spec.fromMesh.services", "spec.nextHop Unchanged",
		"spec.services.addressTypes ClusterIP", "spec.services.addressTypes ExternalIP", "spec.services.addressTypes LoadBalancerIP",
		"spec.services.selector", "spec.services.namespaceSelector", "spec.services.externalIPRanges", "spec.services.loadBalancerIPRanges",
		"spec.services.aggregation.ipv4Length", "spec.services.aggregation.ipv6Length",
		"spec.attributes.communities", "spec.attributes.localPref", "spec.attributes.med",
		"spec.attributes.asPathPrepend", "spec.attributes.linkBandwidth ByLocalEndpoints", "spec.precedence",
	},
}

// candid is an object that knows which of its fields have no effect.
type candid interface {
	object
	NotImplemented() []string
}

func emptyObjects() map[string]candid {
	return map[string]candid{
		v1alpha1.KindBGPSpeaker:       &v1alpha1.BGPSpeaker{},
		v1alpha1.KindBGPPeer:          &v1alpha1.BGPPeer{},
		v1alpha1.KindBGPAdvertisement: &v1alpha1.BGPAdvertisement{},
	}
}

func TestEveryFieldHasAnEffectOrIsNamedAsNotImplemented(t *testing.T) {
	for kind, empty := range emptyObjects() {
		effective := slices.Clone(withEffect[kind])
		for _, c := range changes(t, kind, empty) {
			if reflect.DeepEqual(c.object, defaulted(empty)) {
				continue // the value is the default
			}
			named := c.object.NotImplemented()
			i := slices.Index(effective, c.path)
			switch {
			case i >= 0 && len(named) > 0:
				t.Errorf("%s: %s has an effect, but NotImplemented names %v", kind, c.path, named)
			case i < 0 && !(len(named) == 1 && covers(named[0], c.path)):
				t.Errorf("%s: %s is not among those with effect, and NotImplemented names %v", kind, c.path, named)
			}
			if i >= 0 {
				effective = slices.Delete(effective, i, i+1)
			}
		}
		if len(effective) > 0 {
			t.Errorf("%s: no such fields, or defaults: %v", kind, effective)
		}
	}
}

func TestNotImplementedNamesNothingOfDefaults(t *testing.T) {
	for kind, empty := range emptyObjects() {
		for name, obj := range map[string]candid{"empty": empty, "with defaults": defaulted(empty)} {
			if named := obj.NotImplemented(); len(named) > 0 {
				t.Errorf("%s, %s: %v", kind, name, named)
			}
		}
	}
}

func TestNotImplementedNamesSeveralFieldsInOrder(t *testing.T) {
	speaker := &v1alpha1.BGPSpeaker{Spec: v1alpha1.BGPSpeakerSpec{
		CNI:      v1alpha1.CNI{Enabled: ptr(true)},
		Topology: v1alpha1.Topology{BFD: &v1alpha1.BFD{}},
	}}
	got := strings.Join(speaker.NotImplemented(), ", ")
	if want := "spec.topology.bfd, spec.cni.enabled"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// covers says whether named stands for path: it is the same, or the field that path lies in.
func covers(named, path string) bool {
	field, _, _ := strings.Cut(path, " ")
	return named == path || named == field || strings.HasPrefix(field, named+".")
}

func TestCoversTakesAFieldForWhatLiesInIt(t *testing.T) {
	for _, c := range []struct {
		named, path string
		want        bool
	}{
		{"spec.bfd", "spec.bfd.detectMultiplier", true},
		{"spec.bmp", "spec.bmp.policy All", true},
		{"spec.nextHop Unchanged", "spec.nextHop Unchanged", true},
		{"spec.nextHop Unchanged", "spec.nextHop Other", false},
		{"spec.local", "spec.localASN", false},
	} {
		if got := covers(c.named, c.path); got != c.want {
			t.Errorf("%s covers %s: %v", c.named, c.path, got)
		}
	}
}

func defaulted(obj candid) candid {
	out := obj.DeepCopyObject().(candid)
	setDefaults(out)
	return out
}

// change is an object with all defaults but one, and the path of that one.
type change struct {
	path   string
	object candid
}

// changes returns one object for each leaf of the spec, and for each value of those leaves
// that are enumerations.
func changes(t *testing.T, kind string, empty candid) []change {
	t.Helper()
	root := definitions(t)[kind].Spec.Versions[0].Schema.OpenAPIV3Schema
	var out []change
	for _, l := range leaves("spec", root.Properties["spec"], specOf(empty).Type()) {
		if len(l.enum) == 0 {
			out = append(out, change{l.path, l.set(empty, "")})
		}
		for _, value := range l.enum {
			out = append(out, change{l.path + " " + value, l.set(empty, value)})
		}
	}
	return out
}

func specOf(obj candid) reflect.Value { return reflect.ValueOf(obj).Elem().FieldByName("Spec") }

// leaf is a field that holds no further fields, or a label selector.
type leaf struct {
	path  string
	index []int // of the fields on the way
	enum  []string
}

func leaves(path string, schema *node, of reflect.Type) []leaf {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		if of.Kind() == reflect.Slice {
			schema = schema.Items
		}
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of == reflect.TypeFor[metav1.LabelSelector]() || of.NumField() == 0 {
		return []leaf{{path: path, enum: schema.Enum}}
	}
	var out []leaf
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		for _, l := range leaves(path+"."+name, schema.Properties[name], of.Field(i).Type) {
			l.index = append([]int{i}, l.index...)
			out = append(out, l)
		}
	}
	return out
}

// set returns obj with defaults and the leaf set to value, or without one to something
// other than what is there.
func (l leaf) set(obj candid, value string) candid {
	out := obj.DeepCopyObject().(candid)
	find(specOf(out), l.index[:len(l.index)-1]) // makes what it lies in, for the defaults there
	setDefaults(out)
	v := find(specOf(out), l.index)
	switch v.Kind() {
	case reflect.String:
		if value == "" {
			value = "other"
		}
		v.SetString(value)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Struct: // its presence is all it says
	default:
		panic("a leaf of kind " + v.Kind().String() + " at " + l.path)
	}
	return out
}

// find returns the field in spec, and makes the pointers and entries on the way.
func find(spec reflect.Value, index []int) reflect.Value {
	v := inside(spec)
	for _, i := range index {
		v = inside(v.Field(i))
	}
	return v
}

func inside(v reflect.Value) reflect.Value {
	for {
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		case reflect.Slice:
			if v.Len() == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			}
			v = v.Index(0)
		default:
			return v
		}
	}
}
