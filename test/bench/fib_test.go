package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/test/lab"
)

// The benches are run small here, for what they find to be right, not for how fast it is.

func TestFIBBenchFindsAllRoutesOfEveryDaemon(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	if err := run(t.Context(), []string{"fib", "-routes=2000", "-runs=1", "-changes=3"}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, key := range []string{
		"bench", "routes", "fairway_seconds", "bird_seconds", "frr_seconds", "fairway_from_session_seconds", "bird_from_session_seconds",
		"floor_seconds", "fairway_mb", "frr_mb", "withdraw_seconds", "one_change_ms_p99", "fairway_seconds_v6", "bird_seconds_v6",
		"frr_seconds_v6", "fairway_from_session_seconds_v6", "bird_from_session_seconds_v6", "floor_seconds_v6", "fairway_mb_v6",
		"frr_mb_v6", "withdraw_seconds_v6", "one_change_ms_p99_v6",
	} {
		if last := lines[len(lines)-1]; !strings.Contains(last, `"`+key+`":`) {
			t.Errorf("the result has no %s: %s", key, last)
		}
	}
}

func TestFIBBenchIsInvalidWhenAPrefixIsWithheld(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	err := run(t.Context(), []string{"fib", "-routes=200", "-runs=1", "-families=6", "-only=fairway", "-withhold"}, &out)
	if err == nil || !strings.Contains(err.Error(), "invalid") {
		t.Errorf("got %v, want the run to be invalid", err)
	}
	if !strings.Contains(out.String(), `"invalid":["fairway_v6: 1 of 200 prefixes are missing"]`) {
		t.Errorf("the result does not say that one prefix is missing:\n%s", out.String())
	}
}

func TestRepairBenchSeesEveryRouteComeBack(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	if err := run(t.Context(), []string{"repair", "-routes=1000", "-samples=200"}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), `"samples":200`) {
		t.Errorf("not all samples were taken:\n%s", out.String())
	}
}

func TestCompareNamesEveryKindOfDifference(t *testing.T) {
	hop := netip.MustParseAddr("192.0.2.1")
	want := map[netip.Prefix]netip.Addr{
		netip.MustParsePrefix("10.0.0.0/26"):  hop,
		netip.MustParsePrefix("10.0.0.64/26"): hop,
	}
	before := lab.Route{Dst: "192.0.2.0/24", Protocol: "kernel"}
	right := lab.Route{Dst: "10.0.0.0/26", Gateway: "192.0.2.1", Protocol: "219"}
	for name, test := range map[string]struct {
		other lab.Route
		want  string
	}{
		"nothing":  {lab.Route{Dst: "10.0.0.64/26", Gateway: "192.0.2.1", Protocol: "219"}, ""},
		"missing":  {before, "1 of 2 prefixes are missing"},
		"next hop": {lab.Route{Dst: "10.0.0.64/26", Gateway: "192.0.2.3", Protocol: "219"}, `10.0.0.64/26 has the next hop "192.0.2.3", want 192.0.2.1`},
		"protocol": {lab.Route{Dst: "10.0.0.64/26", Gateway: "192.0.2.1", Protocol: "bird"}, "10.0.0.64/26 has the protocol bird, want 219"},
		"prefix":   {lab.Route{Dst: "10.0.0.128/26", Gateway: "192.0.2.1", Protocol: "219"}, "10.0.0.128/26 is not wanted; 1 of 2 prefixes are missing"},
		"twice":    {right, "10.0.0.0/26 is there twice; 1 of 2 prefixes are missing"},
	} {
		t.Run(name, func(t *testing.T) {
			got := compare([]lab.Route{before, right, test.other}, []lab.Route{before}, want, "219")
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
