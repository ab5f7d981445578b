package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// The schema does not look into selectors, so these are not among the manifests.
func TestValidateLooksIntoSelectors(t *testing.T) {
	broken := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: "Like"}}}
	types := []v1alpha1.ServiceAddressType{v1alpha1.AddressClusterIP}
	services := &v1alpha1.AdvertisedServices{AddressTypes: types, Selector: broken}
	namespaces := &v1alpha1.AdvertisedServices{AddressTypes: types, NamespaceSelector: broken}
	pods := &v1alpha1.AdvertisedPodCIDRs{}
	asn := ptr[int64](64512)
	for want, obj := range map[string]object{
		"spec.nodeSelector.matchExpressions[0].operator":      &v1alpha1.BGPSpeaker{Spec: v1alpha1.BGPSpeakerSpec{LocalASN: asn, NodeSelector: broken}},
		"spec.nodeSelector.matchExpressions[0]":               &v1alpha1.BGPPeer{Spec: v1alpha1.BGPPeerSpec{Address: "192.0.2.1", ASN: asn, NodeSelector: broken}},
		"spec.nodeSelector.":                                  &v1alpha1.BGPAdvertisement{Spec: v1alpha1.BGPAdvertisementSpec{PodCIDRs: pods, NodeSelector: broken}},
		"spec.services.selector.matchExpressions[0].operator": &v1alpha1.BGPAdvertisement{Spec: v1alpha1.BGPAdvertisementSpec{Services: services}},
		"spec.services.namespaceSelector.matchExpressions[0]": &v1alpha1.BGPAdvertisement{Spec: v1alpha1.BGPAdvertisementSpec{Services: namespaces}},
		"spec.topology.reflectors.matchExpressions[0]": &v1alpha1.BGPSpeaker{Spec: v1alpha1.BGPSpeakerSpec{
			LocalASN: asn, Topology: v1alpha1.Topology{Reflectors: broken}}},
		"spec.to.peerSelector.matchExpressions[0].operator": &v1alpha1.BGPAdvertisement{Spec: v1alpha1.BGPAdvertisementSpec{
			PodCIDRs: pods, To: v1alpha1.AdvertisementTargets{PeerSelector: broken}}},
	} {
		expectMessage(t, want, obj.Validate(), want)
	}
}

func TestValidateUpdateRefusesAnotherWayToNameTheRouterAndNothingElse(t *testing.T) {
	asn := ptr[int64](65001)
	gateway := func(f v1alpha1.IPFamily) *v1alpha1.DefaultGateway { return &v1alpha1.DefaultGateway{Family: f} }
	ways := [][2]v1alpha1.BGPPeerSpec{ // each way with two values
		{{Address: "192.0.2.1", ASN: asn}, {Address: "2001:db8::1", ASN: asn}},
		{{Interface: "eth1", ASN: asn}, {Interface: "eth2", ASN: asn}},
		{{DefaultGateway: gateway(v1alpha1.IPv4), ASN: asn}, {DefaultGateway: gateway(v1alpha1.IPv6), ASN: asn}},
		{{ListenRange: "192.0.2.0/24", ASN: asn}, {ListenRange: "2001:db8::/64", ASN: asn}},
	}
	for i, from := range ways {
		for j, to := range ways {
			before, after := &v1alpha1.BGPPeer{Spec: from[0]}, &v1alpha1.BGPPeer{Spec: to[1]}
			errs := after.ValidateUpdate(before)
			if i == j && len(errs) != 0 {
				t.Errorf("%s after %s: %v", render(t, to[1]), render(t, from[0]), errs.ToAggregate())
			}
			if i != j {
				expectMessage(t, render(t, to[1]), errs, "which of address, interface, defaultGateway and listenRange is set cannot be changed")
			}
		}
	}
}

func TestParseCommunityReadsNumbersAndNames(t *testing.T) {
	for text, want := range map[string]v1alpha1.Community{
		"65000:1":             {Standard: 65000<<16 | 1},
		"0:0":                 {},
		"65000:1:2":           {Large: true, GlobalAdmin: 65000, Local1: 1, Local2: 2},
		"1:4294967295:0":      {Large: true, GlobalAdmin: 1, Local1: 4294967295},
		"graceful-shutdown":   {Standard: 65535 << 16},
		"no-llgr":             {Standard: 65535<<16 | 7},
		"blackhole":           {Standard: 65535<<16 | 666},
		"no-export":           {Standard: 65535<<16 | 65281},
		"no-advertise":        {Standard: 65535<<16 | 65282},
		"no-export-subconfed": {Standard: 65535<<16 | 65283},
		"no-peer":             {Standard: 65535<<16 | 65284},
	} {
		if got, err := v1alpha1.ParseCommunity(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	if _, err := v1alpha1.ParseCommunity("65536:1"); err == nil || !strings.Contains(err.Error(), "65000:1:2") {
		t.Errorf("65536:1: got %v, want an error that says what to write", err)
	}
}

func TestBoundsFillsInAbsentLengthsAsPrefixListsDo(t *testing.T) {
	none := int32(-1)
	length := func(n int32) *int32 {
		if n == none {
			return nil
		}
		return &n
	}
	for _, c := range []struct {
		prefix   string
		min, max int32
		want     string
	}{
		{"10.244.0.0/16", none, none, "10.244.0.0/16 16 16"},
		{"10.244.0.0/16", none, 24, "10.244.0.0/16 16 24"},
		{"10.244.0.0/16", 24, none, "10.244.0.0/16 24 32"},
		{"10.244.0.0/16", 20, 24, "10.244.0.0/16 20 24"},
		{"0.0.0.0/0", none, none, "0.0.0.0/0 0 0"},
		{"0.0.0.0/0", 0, none, "0.0.0.0/0 0 32"},
		{"fd00::/48", 64, none, "fd00::/48 64 128"},
	} {
		prefix, least, most, err := v1alpha1.ImportRule{Prefix: c.prefix, MinLength: length(c.min), MaxLength: length(c.max)}.Bounds()
		if got := fmt.Sprint(prefix, least, most); err != nil || got != c.want {
			t.Errorf("%s min %d max %d: got %s, %v; want %s", c.prefix, c.min, c.max, got, err, c.want)
		}
	}
	if _, _, _, err := (v1alpha1.ImportRule{Prefix: "10.244.0.0"}).Bounds(); err == nil {
		t.Error("an address alone was taken as a prefix")
	}
}

func TestTruncateKeepsTheFirstAndMarksCutTexts(t *testing.T) {
	long := strings.Repeat("ß", v1alpha1.MaxMessageLength+1)
	exact := strings.Repeat("ß", v1alpha1.MaxMessageLength)
	status := v1alpha1.BGPNodeStateStatus{
		Sessions: make([]v1alpha1.SessionStatus, v1alpha1.MaxSessions+1),
		Routes: v1alpha1.RoutesStatus{
			Failed:  make([]v1alpha1.FailedRoute, v1alpha1.MaxFailedRoutes+1),
			Refused: make([]v1alpha1.RefusedCount, v1alpha1.MaxRefused+1),
		},
		Problems: make([]v1alpha1.Problem, v1alpha1.MaxProblems+1),
	}
	status.Sessions[0].Capabilities = make([]string, v1alpha1.MaxCapabilities+1)
	status.Sessions[0].Families = []v1alpha1.FamilyStatus{{Rejected: make([]v1alpha1.RefusedCount, v1alpha1.MaxRejected+1)}}
	status.Sessions[0].LastError, status.Routes.Failed[0].Reason = long, long
	status.Problems[0].Message, status.Problems[1].Message = long, exact
	status.Truncate()
	if got := []int{len(status.Sessions), len(status.Routes.Failed), len(status.Routes.Refused), len(status.Problems),
		len(status.Sessions[0].Capabilities), len(status.Sessions[0].Families[0].Rejected)}; fmt.Sprint(got) != "[256 64 64 64 16 16]" {
		t.Errorf("lengths %v", got)
	}
	for _, text := range []string{status.Sessions[0].LastError, status.Routes.Failed[0].Reason, status.Problems[0].Message} {
		if utf8.RuneCountInString(text) != v1alpha1.MaxMessageLength || !strings.HasSuffix(text, "ß…") {
			t.Errorf("cut to %d characters, ending in %q", utf8.RuneCountInString(text), text[len(text)-8:])
		}
	}
	if status.Problems[1].Message != exact {
		t.Error("a text that fits was cut")
	}
}

func TestAddToSchemeKnowsEveryKindAndItsList(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for kind := range definitions(t) {
		for _, name := range []string{kind, kind + "List"} {
			if !scheme.Recognizes(v1alpha1.SchemeGroupVersion.WithKind(name)) {
				t.Errorf("%s is unknown", name)
			}
		}
	}
}
