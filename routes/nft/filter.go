// Package nft keeps a table of our own in nftables: what is forwarded to addresses that nobody
// owns, inside prefixes that this node announces, is refused there.
//
// It is refused in the forward hook and never by a route: a route decides about packets of the
// node itself before their destination is translated, and would cut the node off from Services.
// Other tables are never touched; ours is inet "fairway", by its name.
package nft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// TableName is what our table is called in the family inet.
const TableName = "fairway"

const (
	chainName = "refuse-unowned"
	setName4  = "unowned-ipv4"
	setName6  = "unowned-ipv6"
)

// Filter is our table. One goroutine changes it.
type Filter struct{}

// Set makes the table refuse exactly what is forwarded to these prefixes, of both families; none:
// there is no table. It looks first, and writes nothing where all is as it should be. The old table gives
// way to the new one in one transaction; what more there is of elements than one holds comes after it.
func (Filter) Set(ctx context.Context, unowned []netip.Prefix) error {
	conn, err := nftables.New()
	if err != nil {
		return inWords(err)
	}
	present, err := read(conn)
	if err != nil {
		return fmt.Errorf("reading the table inet %s: %w", TableName, inWords(err))
	}
	want := ranges(unowned)
	if ctx.Err() != nil || present.is(want) {
		return ctx.Err()
	}
	if len(want) == 0 {
		return remove(conn)
	}
	if err := write(conn, want); err != nil {
		return fmt.Errorf("writing the table inet %s: %w", TableName, inWords(err))
	}
	return nil
}

// Present reports whether our table is there.
func (Filter) Present() (bool, error) {
	conn, err := nftables.New()
	if err != nil {
		return false, inWords(err)
	}
	return find(conn)
}

// Remove removes the table and all in it, if it is there.
func (Filter) Remove() (removed bool, err error) {
	conn, err := nftables.New()
	if err != nil {
		return false, inWords(err)
	}
	if there, err := find(conn); err != nil || !there {
		return false, err
	}
	return true, remove(conn)
}

func remove(conn *nftables.Conn) error {
	conn.DelTable(table())
	if err := conn.Flush(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the table inet %s: %w", TableName, inWords(err))
	}
	return nil
}

// write replaces the table as a whole: to add it first makes sure that there is one to delete.
func write(conn *nftables.Conn, want []addressRange) error {
	t := conn.AddTable(table())
	conn.DelTable(t)
	conn.AddTable(t)
	c := conn.AddChain(chain(t))
	sets := make([]*nftables.Set, len(families))
	for i, f := range families { // before any element: with the first transaction all but elements is there
		sets[i] = &nftables.Set{Table: t, Name: f.set, KeyType: f.datatype, Interval: true}
		if err := conn.AddSet(sets[i], nil); err != nil {
			return err
		}
		conn.AddRule(&nftables.Rule{Table: t, Chain: c, Exprs: f.rule()})
	}
	pending := 0
	for i, f := range families {
		for some := range slices.Chunk(f.elements(want), elementsAtOnce) {
			if pending+len(some) > elementsOfTransaction {
				if err := conn.Flush(); err != nil {
					return err
				}
				pending = 0
			}
			if err := conn.SetAddElements(sets[i], some); err != nil {
				return err
			}
			pending += len(some)
		}
	}
	return conn.Flush()
}

const (
	// elementsAtOnce bounds the elements of one message: the attribute that holds them has 64 KiB.
	elementsAtOnce = 500
	// elementsOfTransaction bounds those of one transaction, which a socket has to hold at once. More
	// of them come after it, in further ones.
	elementsOfTransaction = 2000
)

func table() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
}

func chain(t *nftables.Table) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return &nftables.Chain{
		Table: t, Name: chainName, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &accept,
	}
}

// rule refuses what is forwarded to an address of the family's set.
func (f family) rule() []expr.Any {
	const register = 1
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{f.protocol}},
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: f.destination, Len: f.datatype.Bytes},
		&expr.Lookup{SourceRegister: register, SetName: f.set},
		&expr.Counter{},
		&expr.Reject{Type: rejectICMPX, Code: icmpxHostUnreachable},
	}
}

// Of linux/netfilter/nf_tables.h: what the reject expression of an inet table answers with.
const (
	rejectICMPX          = 2
	icmpxHostUnreachable = 2
)

// ErrUnsupported is in the errors of a kernel that has no nftables, or not all that is needed of it.
var ErrUnsupported = errors.New("this kernel most likely lacks what is needed of nf_tables")

// inWords says what the kernel means where its errors alone tell little.
func inWords(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the agent may not change nftables, which needs CAP_NET_ADMIN: %w", err)
	case errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EINVAL),
		errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET, CONFIG_NFT_REJECT_INET): %w", ErrUnsupported, err)
	}
	return err
}
