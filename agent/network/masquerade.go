package network

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// Table is the name of our nftables table, family inet.
const Table = "drover"

// Masquerade replaces the whole table in one transaction, so that there is no moment without rules, unless it has
// these rules already: someone else may have flushed it.
func (kernel) Masquerade(own, former, pods []netip.Prefix) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table, chain := postrouting()
	rules, err := masquerade(own, former, pods)
	if err != nil {
		return err
	}
	there, err := hasRules(conn, chain, rules)
	if err != nil || there {
		return err
	}
	conn.AddTable(table) // so that the deletion finds it
	conn.DelTable(table)
	if len(rules) > 0 {
		conn.AddTable(table)
		conn.AddChain(chain)
		for _, rule := range rules {
			rule.Table, rule.Chain = table, chain
			conn.AddRule(rule)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("set the nftables table %s: %w", Table, err)
	}
	return nil
}

func postrouting() (*nftables.Table, *nftables.Chain) {
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	return table, &nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	}
}

func (kernel) Masquerades(own, former, pods []netip.Prefix) (bool, error) {
	conn, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("open nftables: %w", err)
	}
	rules, err := masquerade(own, former, pods)
	if err != nil {
		return false, err
	}
	_, chain := postrouting()
	return hasRules(conn, chain, rules)
}

// masquerade are the rules, each with a digest of what it does as its comment; none without own ranges.
func masquerade(own, former, pods []netip.Prefix) ([]*nftables.Rule, error) {
	if len(own) == 0 {
		return nil, nil
	}
	var all [][]expr.Any
	for _, cidr := range former { // nobody else has a route to its pods: to whatever they talk, the answer comes to the node
		all = append(all, hide(cidr))
	}
	for _, cidr := range pods {
		all = append(all, append(match(cidr, destination), &expr.Verdict{Kind: expr.VerdictReturn}))
	}
	for _, cidr := range own {
		all = append(all, hide(cidr))
	}
	var rules []*nftables.Rule
	for _, exprs := range all {
		digest := sha256.New()
		for _, e := range exprs {
			data, err := expr.Marshal(byte(nftables.TableFamilyINet), e)
			if err != nil {
				return nil, fmt.Errorf("encode a rule of the nftables table %s: %w", Table, err)
			}
			digest.Write(data)
		}
		comment := userdata.AppendString(nil, userdata.TypeComment, fmt.Sprintf("%x", digest.Sum(nil)[:8]))
		rules = append(rules, &nftables.Rule{Exprs: exprs, UserData: comment})
	}
	return rules, nil
}

// hasRules says whether the table has exactly these rules; without rules, whether there is no such table.
func hasRules(conn *nftables.Conn, chain *nftables.Chain, want []*nftables.Rule) (bool, error) {
	tables, err := conn.ListTablesOfFamily(chain.Table.Family)
	if err != nil {
		return false, fmt.Errorf("list nftables tables: %w", err)
	}
	if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == Table }) {
		return len(want) == 0, nil
	}
	have, err := conn.GetRules(chain.Table, chain)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return false, fmt.Errorf("list the rules of the nftables table %s: %w", Table, err)
	}
	return len(want) > 0 && slices.EqualFunc(have, want, func(a, b *nftables.Rule) bool { return bytes.Equal(a.UserData, b.UserData) }), nil
}

// hide gives packets from a range the node's address. Those that stay on the bridge, multicast among pods for one, keep
// their source.
func hide(cidr netip.Prefix) []expr.Any {
	return append(append(match(cidr, source), notOut(Bridge)...), &expr.Masq{FullyRandom: true})
}

type direction int

const (
	source direction = iota
	destination
)

// match compares an address of the packet with a range.
func match(cidr netip.Prefix, d direction) []expr.Any {
	cidr = cidr.Masked()
	address := cidr.Addr().AsSlice()
	size := uint32(len(address))
	family, offset := byte(unix.NFPROTO_IPV4), uint32(12) // the source address's place in the header
	if size == 16 {
		family, offset = unix.NFPROTO_IPV6, 8
	}
	if d == destination {
		offset += size
	}
	mask := make([]byte, size)
	for i := range cidr.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: address},
	}
}

// notOut matches packets that leave by another link.
func notOut(link string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, binaryutil.PutString(link))
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: name},
	}
}
