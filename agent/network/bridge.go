package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// A Node that was deleted and made anew as a rule gets another range than its pods have addresses of. They stay what
// they are as long as they run: their gateway stays on the bridge and the node stays their way out. But no other node
// has a route to them, so that they are a finding, and when another Node gets their range, it is that Node's.

// gateway is the bridge's address for a range, as the plugin works it out: the first that a pod could have.
func gateway(cidr netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(cidr.Masked().Addr().Next(), cidr.Bits())
}

// hindering is the address of the bridge for which the plugin refuses to attach a pod of a range; see ensureAddr in
// the bridge plugin's bridge.go. It looks at one address after the other until it finds its gateway.
func hindering(have []netip.Prefix, cidr netip.Prefix) (netip.Prefix, bool) {
	want := gateway(cidr)
	for _, address := range have {
		switch {
		case address == want:
			return netip.Prefix{}, false
		case address.Addr().Is4() != want.Addr().Is4():
		case want.Addr().Is4() || address.Overlaps(want):
			return address, true
		}
	}
	return netip.Prefix{}, false
}

// readdressing is how the bridge comes to have addresses with which the plugin attaches pods of the own ranges.
type readdressing struct {
	// Add is made first, so that the plugin finds it first.
	Add []netip.Prefix
	// Remove comes next, and then Restore, which are those of Remove that pods still need.
	Remove, Restore []netip.Prefix
	// Former are the ranges beside the own ones that pods still have addresses of.
	Former []netip.Prefix
}

// readdress looks for addresses of the bridge, given in the kernel's order, that are no gateways of the own ranges. Those
// of ranges that are in use stay, after the gateway.
func readdress(have, own []netip.Prefix, inUse func(netip.Prefix) bool) readdressing {
	var r readdressing
	for _, address := range have {
		if slices.ContainsFunc(own, func(cidr netip.Prefix) bool { return gateway(cidr) == address }) {
			continue
		}
		if slices.ContainsFunc(own, address.Overlaps) || !inUse(address.Masked()) {
			r.Remove = append(r.Remove, address)
			continue
		}
		r.Former = append(r.Former, address.Masked())
		for _, cidr := range own {
			if before(have, address, gateway(cidr)) {
				r.Remove, r.Restore = append(r.Remove, address), append(r.Restore, address)
				if want := gateway(cidr); !slices.Contains(have, want) && !slices.Contains(r.Add, want) {
					r.Add = append(r.Add, want)
				}
			}
		}
	}
	return r
}

// before says whether the plugin comes across an IPv4 address before the gateway. Of IPv6 a bridge may have several.
func before(have []netip.Prefix, address, gateway netip.Prefix) bool {
	if !address.Addr().Is4() || !gateway.Addr().Is4() {
		return false
	}
	at := slices.Index(have, gateway)
	return at < 0 || slices.Index(have, address) < at
}

// readdress makes the bridge ready for pods of the own ranges, and returns the former ranges. A bridge that is not
// there is the plugin's to make.
func (m *Manager) readdress(config Config, own []netip.Prefix, nodes []Node) ([]netip.Prefix, error) {
	have, err := m.Kernel.BridgeAddresses()
	if err != nil || len(have) == 0 {
		return nil, err
	}
	leased, err := m.leases()
	if err != nil {
		return nil, err
	}
	r := readdress(have, own, func(cidr netip.Prefix) bool {
		return !taken(config.Node, nodes)(cidr) && slices.ContainsFunc(leased, cidr.Contains)
	})
	if len(r.Remove) > 0 {
		m.Log.Info("Changed the addresses of the pods' bridge to those of the Node's ranges", "ranges", own, "had", have, "former", r.Former)
	}
	for _, step := range []struct {
		addresses []netip.Prefix
		do        func(netip.Prefix) error
	}{{r.Add, m.Kernel.AddBridgeAddress}, {r.Remove, m.Kernel.RemoveBridgeAddress}, {r.Restore, m.Kernel.AddBridgeAddress}} {
		for _, address := range step.addresses {
			if err := step.do(address); err != nil {
				return nil, err
			}
		}
	}
	return r.Former, nil
}

// leases are the addresses that pods have, in order. Host-local keeps a file of the address's name for each.
func (m *Manager) leases() ([]netip.Addr, error) {
	dir := m.LeaseDir
	if dir == "" {
		dir = leaseDir
	}
	entries, err := os.ReadDir(filepath.Join(dir, networkName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the addresses of pods: %w", err)
	}
	var leased []netip.Addr
	for _, entry := range entries {
		if address, err := netip.ParseAddr(entry.Name()); err == nil {
			leased = append(leased, address)
		}
	}
	slices.SortFunc(leased, netip.Addr.Compare)
	return leased, nil
}
