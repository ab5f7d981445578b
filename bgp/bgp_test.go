package bgp

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestPrefixRuleMatches(t *testing.T) {
	rule := PrefixRule{Prefix: netip.MustParsePrefix("10.0.0.0/8"), MinLength: 16, MaxLength: 24}
	wide := PrefixRule{Prefix: netip.MustParsePrefix("10.1.0.0/16"), MinLength: 0, MaxLength: 32}
	for _, test := range []struct {
		rule   PrefixRule
		prefix string
		want   bool
	}{
		{rule, "10.0.0.0/16", true},
		{rule, "10.255.3.0/24", true},
		{rule, "10.0.0.0/15", false},
		{rule, "10.0.0.0/25", false},
		{rule, "11.0.0.0/16", false},
		{rule, "::ffff:10.0.0.0/112", false},
		{rule, "2001:db8::/20", false},
		{wide, "10.1.0.0/16", true},
		{wide, "10.0.0.0/8", false}, // wider than the rule's own prefix
	} {
		if got := test.rule.Matches(netip.MustParsePrefix(test.prefix)); got != test.want {
			t.Errorf("%s matches %s: %t, want %t", test.rule, test.prefix, got, test.want)
		}
	}
}

func TestFamilyOf(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1": "IPv4Unicast", "2001:db8::1": "IPv6Unicast", "::ffff:192.0.2.1": "IPv4Unicast"} {
		if got := FamilyOf(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("family of %s: %s, want %s", addr, got, want)
		}
	}
}

func TestASecretRedactsItselfHoweverItIsShown(t *testing.T) {
	const hidden = "s3cret"
	peer := Peer{Name: "tor", Password: hidden}
	var logged strings.Builder
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("peer", "peer", peer, "pointer", &peer, "password", peer.Password)
	}
	encoded, err := json.Marshal(peer)
	if err != nil {
		t.Fatal(err)
	}
	for what, shown := range map[string]string{
		"%v": fmt.Sprintf("%v", peer), "%+v": fmt.Sprintf("%+v", peer), "%#v": fmt.Sprintf("%#v", peer),
		"%s": fmt.Sprintf("<%s>", peer.Password), "%q": fmt.Sprintf("%q", peer.Password), "%x": fmt.Sprintf("%x", peer.Password),
		"JSON": string(encoded), "log": logged.String(), "error": fmt.Errorf("peer %v", peer).Error(),
	} {
		if strings.Contains(shown, hidden) || strings.Contains(shown, fmt.Sprintf("%x", hidden)) {
			t.Errorf("%s shows the secret: %s", what, shown)
		}
	}
	if string(peer.Password) != hidden {
		t.Error("a conversion does not reveal it")
	}
	if got := Secret("").String(); got != "" {
		t.Errorf("no password shows as %q", got)
	}
}

// A field that Equal forgot would be a change that nobody carries out.
func TestPeersThatDifferInAnyFieldAreNotEqual(t *testing.T) {
	fields := reflect.TypeOf(Peer{}).NumField()
	for i := range fields {
		var a, b Peer
		field := reflect.ValueOf(&b).Elem().Field(i)
		switch name := reflect.TypeOf(b).Field(i).Name; name {
		case "Address", "LocalAddress", "ClusterID":
			field.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.1")))
		case "ImportLocalPref":
			field.Set(reflect.ValueOf(new(uint32)))
		case "NextHops":
			field.Set(reflect.ValueOf(NextHops{IPv6: netip.MustParseAddr("2001:db8::1")}))
		case "Limit":
			field.Set(reflect.ValueOf(PrefixLimit{Shutdown: true}))
		case "AddPaths":
			field.Set(reflect.ValueOf(AddPaths{SendMax: 2}))
		case "Families":
			field.Set(reflect.ValueOf([]Family{IPv4Unicast}))
		case "Import":
			field.Set(reflect.ValueOf([]PrefixRule{{MaxLength: 24}}))
		default:
			switch field.Kind() {
			case reflect.String:
				field.SetString("x")
			case reflect.Bool:
				field.SetBool(true)
			case reflect.Int64:
				field.SetInt(1)
			case reflect.Uint8, reflect.Uint16, reflect.Uint32:
				field.SetUint(1)
			default:
				t.Fatalf("the test does not know how to set %s", name)
			}
		}
		if copied := b; a.Equal(b) || !b.Equal(copied) {
			t.Errorf("Equal does not see %s", reflect.TypeOf(b).Field(i).Name)
		}
	}
}
