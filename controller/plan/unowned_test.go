package plan

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Every address of a prefix is in exactly one of its parts, or in a prefix of the set.
func TestWhatIsLeftOfAPrefixIsAllThatTheSetHasNot(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	whole := netip.MustParsePrefix("10.96.0.0/24")
	for range 300 {
		all := map[netip.Prefix]bool{}
		for range r.IntN(6) {
			p, err := netip.AddrFrom4([4]byte{10, 96, byte(r.IntN(2)), byte(r.IntN(256))}).Prefix(25 + r.IntN(8))
			if err != nil {
				t.Fatal(err)
			}
			all[p] = true
		}
		set := newPrefixSet(all)
		left := set.appendWithout(nil, whole)
		for addr := whole.Addr(); whole.Contains(addr); addr = addr.Next() {
			host := netip.PrefixFrom(addr, 32)
			parts := 0
			for _, p := range left {
				if p.Contains(addr) {
					parts++
				}
			}
			if owned := set.cover(host); parts > 1 || (parts == 1) == owned {
				t.Fatalf("%s is in %d of %v, without %v", addr, parts, left, all)
			}
		}
	}
}
