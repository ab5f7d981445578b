package v1alpha1_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// fill does what an API server does: a missing field gets its default, then the fields
// inside it get theirs.
func (n *node) fill(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, property := range n.Properties {
			if _, ok := value[name]; !ok && property.Default != nil {
				value[name] = property.Default
			}
			property.fill(value[name])
		}
	case []any:
		for _, item := range value {
			n.Items.fill(item)
		}
	}
}

func TestSetDefaultsGivesWhatTheSchemaGives(t *testing.T) {
	crds := definitions(t)
	for _, m := range manifests(t, "valid") {
		t.Run(m.name, func(t *testing.T) {
			ours, err := decode(m.text)
			if err != nil {
				t.Fatal(err)
			}
			if ours == nil {
				return
			}
			setDefaults(ours)

			var raw map[string]any
			if err := yaml.Unmarshal(m.text, &raw); err != nil {
				t.Fatal(err)
			}
			crds[raw["kind"].(string)].Spec.Versions[0].Schema.OpenAPIV3Schema.fill(raw)
			text, err := json.Marshal(raw)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(ours, theirs) {
				t.Errorf("defaults differ\n  Go:     %s\n  schema: %s", render(t, ours), text)
			}

			again := ours.DeepCopyObject().(object)
			setDefaults(again)
			if !reflect.DeepEqual(ours, again) {
				t.Errorf("a second pass changed it\n  first:  %s\n  second: %s", render(t, ours), render(t, again))
			}
		})
	}
}

func render(t *testing.T, obj any) string {
	t.Helper()
	text, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSetDefaultsKeepsWhatMeansSomethingByBeingAbsent(t *testing.T) {
	speaker := &v1alpha1.BGPSpeaker{}
	v1alpha1.SetDefaultsBGPSpeaker(speaker)
	if speaker.Spec.RouterID != "" || speaker.Spec.GracefulRestart.StaleSweepSeconds != nil {
		t.Errorf("router ID or stale sweep got a default: %s", render(t, speaker.Spec))
	}
	peer := &v1alpha1.BGPPeer{}
	v1alpha1.SetDefaultsBGPPeer(peer)
	if peer.Spec.Timers.KeepaliveTimeSeconds != nil || peer.Spec.Families != nil ||
		peer.Spec.GracefulRestart != nil || peer.Spec.Import.Allow != nil {
		t.Errorf("keepalive, families, graceful restart or import got a default: %s", render(t, peer.Spec))
	}
}

// An object without defaults must not change its meaning on the way through Go.
func TestZeroPartsAreNotWritten(t *testing.T) {
	for want, obj := range map[string]any{
		`{"localASN":64512}`:        v1alpha1.BGPSpeakerSpec{LocalASN: ptr[int64](64512)},
		`{"address":"192.0.2.1"}`:   v1alpha1.BGPPeerSpec{Address: "192.0.2.1"},
		`{"podCIDRs":{}}`:           v1alpha1.BGPAdvertisementSpec{PodCIDRs: &v1alpha1.AdvertisedPodCIDRs{}},
		`{"import":{"allow":[]}}`:   v1alpha1.BGPPeerSpec{Import: v1alpha1.PeerImport{Allow: &[]v1alpha1.ImportRule{}}},
		`{"listenPort":0}`:          v1alpha1.BGPSpeakerSpec{ListenPort: ptr[int32](0)},
		`{"kernel":{"maxPaths":1}}`: v1alpha1.BGPSpeakerSpec{Kernel: v1alpha1.KernelRoutes{MaxPaths: ptr[int32](1)}},
	} {
		if got := render(t, obj); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAbsentAndEmptyImportStayApart(t *testing.T) {
	for text, wantNil := range map[string]bool{
		"{}":                    true,
		"import: {}":            true,
		"import: {allow: null}": true,
		"import: {allow: []}":   false,
	} {
		var spec v1alpha1.BGPPeerSpec
		if err := yaml.Unmarshal([]byte(text), &spec); err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string]*[]v1alpha1.ImportRule{
			"read":   spec.Import.Allow,
			"copied": spec.DeepCopy().Import.Allow,
		} {
			if (got == nil) != wantNil {
				t.Errorf("%s, %s: absent is %v, want %v", text, name, got == nil, wantNil)
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }
