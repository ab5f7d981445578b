package nft

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// family is how the table speaks of one address family.
type family struct {
	set         string
	datatype    nftables.SetDatatype
	protocol    byte   // NFPROTO_IPV4 or NFPROTO_IPV6
	destination uint32 // where the header has the address
}

var families = []family{
	{setName4, nftables.TypeIPAddr, byte(nftables.TableFamilyIPv4), 16},
	{setName6, nftables.TypeIP6Addr, byte(nftables.TableFamilyIPv6), 24},
}

// addressRange is from the first address to the last.
type addressRange struct{ first, last netip.Addr }

// ranges joins prefixes that overlap or touch: an interval set has no others.
func ranges(prefixes []netip.Prefix) []addressRange {
	var out []addressRange
	for _, p := range slices.SortedFunc(slices.Values(prefixes), func(a, b netip.Prefix) int { return a.Masked().Compare(b.Masked()) }) {
		r := addressRange{p.Masked().Addr(), lastOf(p)}
		if n := len(out); n > 0 && r.first.BitLen() == out[n-1].first.BitLen() && (r.first.Compare(out[n-1].last) <= 0 || r.first == out[n-1].last.Next()) {
			if out[n-1].last.Less(r.last) {
				out[n-1].last = r.last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// elements are the ranges of the family as an interval set has them: each begins at an
// element, and ends before another one, if there is an address after it.
func (f family) elements(all []addressRange) []nftables.SetElement {
	var out []nftables.SetElement
	for _, r := range all {
		if r.first.BitLen() != int(f.datatype.Bytes)*8 {
			continue
		}
		out = append(out, nftables.SetElement{Key: r.first.AsSlice()})
		if next := r.last.Next(); next.IsValid() {
			out = append(out, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}

// state is what the kernel has of our table.
type state struct {
	there  bool
	chains []*nftables.Chain
	rules  []*nftables.Rule
	sets   map[string][]nftables.SetElement
}

// attempts is how often a listing is begun again: it fails where somebody changes a table, be it
// another one, or takes ours away meanwhile, and the library does not tell that from other failures.
const attempts = 5

// read returns what is there. A table that cannot be read counts as one that is not as it should be,
// to be written anew.
func read(conn *nftables.Conn) (s state, err error) {
	for range attempts {
		if s, err = readOnce(conn); err == nil {
			return s, nil
		}
	}
	if s.there {
		return state{there: true}, nil
	}
	return s, err
}

// find reports whether our table is there.
func find(conn *nftables.Conn) (bool, error) {
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("listing tables: %w", inWords(err))
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == TableName }), nil
}

func readOnce(conn *nftables.Conn) (state, error) {
	s := state{sets: map[string][]nftables.SetElement{}}
	var err error
	if s.there, err = find(conn); err != nil || !s.there {
		return s, err
	}
	t := table()
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return s, fmt.Errorf("listing chains: %w", err)
	}
	for _, c := range chains {
		if c.Table.Name != TableName {
			continue
		}
		rules, err := conn.GetRules(t, c)
		if err != nil {
			return s, fmt.Errorf("listing rules: %w", err)
		}
		s.chains, s.rules = append(s.chains, c), append(s.rules, rules...)
	}
	sets, err := conn.GetSets(t)
	if err != nil {
		return s, fmt.Errorf("listing sets: %w", err)
	}
	for _, set := range sets {
		if s.sets[set.Name], err = conn.GetSetElements(set); err != nil {
			return s, fmt.Errorf("listing the set %s: %w", set.Name, err)
		}
	}
	return s, nil
}

// is reports whether the table is as it is wanted, with nothing of somebody else in it.
func (s state) is(want []addressRange) bool {
	if len(want) == 0 || !s.there {
		return !s.there && len(want) == 0
	}
	if len(s.chains) != 1 || !sameChain(s.chains[0], chain(table())) || len(s.rules) != len(families) || len(s.sets) != len(families) {
		return false
	}
	for i, f := range families {
		elements, there := s.sets[f.set]
		if !there || !sameElements(elements, f.elements(want)) || !sameRule(s.rules[i].Exprs, f.rule()) {
			return false
		}
	}
	return true
}

func sameChain(a, b *nftables.Chain) bool {
	return a.Name == b.Name && a.Type == b.Type && a.Hooknum != nil && *a.Hooknum == *b.Hooknum &&
		a.Priority != nil && *a.Priority == *b.Priority && a.Policy != nil && *a.Policy == *b.Policy
}

// sameRule compares what rules do, not how often they have done it.
func sameRule(a, b []expr.Any) bool {
	return slices.EqualFunc(a, b, func(a, b expr.Any) bool {
		switch a := a.(type) {
		case *expr.Counter:
			_, same := b.(*expr.Counter)
			return same
		case *expr.Lookup:
			b, ok := b.(*expr.Lookup)
			return ok && a.SetName == b.SetName && a.SourceRegister == b.SourceRegister && a.Invert == b.Invert
		}
		return reflect.DeepEqual(a, b)
	})
}

// sameElements compares in any order.
func sameElements(a, b []nftables.SetElement) bool {
	order := func(a, b nftables.SetElement) int {
		if c := bytes.Compare(a.Key, b.Key); c != 0 || a.IntervalEnd == b.IntervalEnd {
			return c
		}
		if a.IntervalEnd {
			return -1
		}
		return 1
	}
	return slices.EqualFunc(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order),
		func(a, b nftables.SetElement) bool { return order(a, b) == 0 })
}
