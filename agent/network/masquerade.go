package network

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Table is the name of our nftables table, family inet.
const Table = "drover"

// Masquerade replaces the whole table in one transaction, so that there is no moment without rules.
func (kernel) Masquerade(own, former, pods []netip.Prefix) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyINet}
	conn.AddTable(table) // so that the deletion finds it
	conn.DelTable(table)
	if len(own) > 0 {
		conn.AddTable(table)
		chain := conn.AddChain(&nftables.Chain{
			Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
		})
		for _, cidr := range former { // nobody else has a route to its pods: to whatever they talk, the answer comes to the node
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: hide(cidr)})
		}
		for _, cidr := range pods {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(match(cidr, destination), &expr.Verdict{Kind: expr.VerdictReturn})})
		}
		for _, cidr := range own {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: hide(cidr)})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("set the nftables table %s: %w", Table, err)
	}
	return nil
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
