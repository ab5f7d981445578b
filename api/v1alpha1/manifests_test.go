package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// manifest is one file under testdata. The same files are sent to a real API server
// elsewhere, so that both ways of judging stay one.
type manifest struct {
	name string
	text []byte
	want string // of an invalid one: part of the message, from its first line
}

func manifests(t *testing.T, dir string) []manifest {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in testdata/%s: %v", dir, err)
	}
	var out []manifest
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		want, _ := strings.CutPrefix(first, "# want: ")
		if dir == "invalid" && (want == first || want == "") {
			t.Errorf("%s: the first line must be # want: and part of the message", file)
		}
		out = append(out, manifest{strings.TrimSuffix(filepath.Base(file), ".yaml"), text, want})
	}
	return out
}

type object interface {
	runtime.Object
	Validate() field.ErrorList
}

// decode returns nil for a kind that has no spec.
func decode(text []byte) (object, error) {
	var head struct{ Kind string }
	if err := yaml.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	var obj object
	switch head.Kind {
	case v1alpha1.KindBGPSpeaker:
		obj = &v1alpha1.BGPSpeaker{}
	case v1alpha1.KindBGPPeer:
		obj = &v1alpha1.BGPPeer{}
	case v1alpha1.KindBGPAdvertisement:
		obj = &v1alpha1.BGPAdvertisement{}
	case v1alpha1.KindBGPNodeState:
		return nil, yaml.UnmarshalStrict(text, &v1alpha1.BGPNodeState{})
	default:
		return nil, fmt.Errorf("unknown kind %q", head.Kind)
	}
	return obj, yaml.UnmarshalStrict(text, obj)
}

func setDefaults(obj object) {
	switch obj := obj.(type) {
	case *v1alpha1.BGPSpeaker:
		v1alpha1.SetDefaultsBGPSpeaker(obj)
	case *v1alpha1.BGPPeer:
		v1alpha1.SetDefaultsBGPPeer(obj)
	case *v1alpha1.BGPAdvertisement:
		v1alpha1.SetDefaultsBGPAdvertisement(obj)
	}
}

func TestValidateTakesWhatIsValidBeforeAndAfterDefaults(t *testing.T) {
	for _, m := range manifests(t, "valid") {
		t.Run(m.name, func(t *testing.T) {
			obj, err := decode(m.text)
			if err != nil {
				t.Fatal(err)
			}
			if obj == nil {
				return
			}
			if errs := obj.Validate(); len(errs) != 0 {
				t.Errorf("before defaults: %v", errs.ToAggregate())
			}
			setDefaults(obj)
			if errs := obj.Validate(); len(errs) != 0 {
				t.Errorf("after defaults: %v", errs.ToAggregate())
			}
		})
	}
}

func TestValidateRefusesWhatIsInvalidAndSaysWhy(t *testing.T) {
	for _, m := range manifests(t, "invalid") {
		t.Run(m.name, func(t *testing.T) {
			obj, err := decode(m.text)
			if err != nil {
				t.Fatal(err)
			}
			expectMessage(t, "before defaults", obj.Validate(), m.want)
			setDefaults(obj)
			expectMessage(t, "after defaults", obj.Validate(), m.want)
		})
	}
}

func expectMessage(t *testing.T, when string, errs field.ErrorList, want string) {
	t.Helper()
	if len(errs) == 0 {
		t.Errorf("%s: accepted, want an error with %q", when, want)
		return
	}
	if got := errs.ToAggregate().Error(); !strings.Contains(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", when, got, want)
	}
}
