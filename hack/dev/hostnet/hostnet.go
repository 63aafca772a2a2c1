// Package hostnet makes and removes what the development world needs of the host's network: the bridge that the
// machines are attached to, forwarding, and address translation for their traffic to the outside.
package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// MakeBridge makes the bridge with an address, and switches it on.
func MakeBridge(name, cidr string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the bridge %s: %w", name, err)
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return fmt.Errorf("make the bridge %s: %w", name, err)
	}
	if err := netlink.AddrReplace(bridge, addr); err != nil {
		return fmt.Errorf("give the bridge %s its address: %w", name, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("switch the bridge %s on: %w", name, err)
	}
	return nil
}

// RemoveLink removes the link, with its addresses and routes. It need not exist.
func RemoveLink(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove the link %s: %w", name, err)
	}
	return nil
}

// Links are the links whose names match.
func Links(match func(name string) bool) ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the network links: %w", err)
	}
	var names []string
	for _, link := range links {
		if name := link.Attrs().Name; match(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Sysctl reads a kernel parameter, such as net.ipv4.ip_forward.
func Sysctl(name string) (string, error) {
	raw, err := os.ReadFile(sysctlPath(name))
	if err != nil {
		return "", fmt.Errorf("read the kernel parameter %s: %w", name, err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// SetSysctl sets one, unless it has that value already: it may be read-only then.
func SetSysctl(name, value string) error {
	if now, err := Sysctl(name); err == nil && now == value {
		return nil
	}
	if err := os.WriteFile(sysctlPath(name), []byte(value), 0); err != nil {
		return fmt.Errorf("set the kernel parameter %s to %s: %w", name, value, err)
	}
	return nil
}

// RestoreSysctl gives one its former value, if it still has the one it was set to: a later change is somebody else's.
// One that is gone, with its kernel module for one, needs nothing.
func RestoreSysctl(name, set, former string) error {
	now, err := Sysctl(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || now != set {
		return err
	}
	return SetSysctl(name, former)
}

func sysctlPath(name string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
}

// MakeNAT makes a table that gives what comes from the bridge's subnet, and leaves through any other link, the host's
// address: it lets nodes fetch images from outside where the host can.
func MakeNAT(tableName, bridge, cidr string) error {
	subnet, err := netip.ParsePrefix(cidr)
	if err != nil {
		return fmt.Errorf("make the nftables table %s: %w", tableName, err)
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("make the nftables table %s: %w", tableName, err)
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName})
	c.FlushTable(table)
	chain := c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: slices.Concat(
		sourceIn(subnet), linkIsNot(expr.MetaKeyOIFNAME, bridge), []expr.Any{&expr.Masq{}})})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("make the nftables table %s: %w", tableName, err)
	}
	return nil
}

// sourceIn matches the source address, at byte 12 of the IPv4 header.
func sourceIn(subnet netip.Prefix) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: net.CIDRMask(subnet.Bits(), 32), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: subnet.Masked().Addr().AsSlice()},
	}
}

func linkIsNot(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: padded}}
}

// RemoveTable removes an nftables table of the IPv4 family. It need not exist.
func RemoveTable(name string) error {
	tables, err := Tables(func(n string) bool { return n == name })
	if err != nil || len(tables) == 0 {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("remove the nftables table %s: %w", name, err)
	}
	c.DelTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: name})
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the nftables table %s: %w", name, err)
	}
	return nil
}

// Tables are the nftables tables whose names match.
func Tables(match func(name string) bool) ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("list the nftables tables: %w", err)
	}
	tables, err := c.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list the nftables tables: %w", err)
	}
	var names []string
	for _, t := range tables {
		if match(t.Name) {
			names = append(names, t.Name)
		}
	}
	return names, nil
}
