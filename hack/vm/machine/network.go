package machine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
)

// network is what a machine is told of the one that it is in.
type network struct {
	bridge   netlink.Link
	gateway  netip.Prefix
	resolver netip.Addr
}

// networkOf finds the bridge of a machine, and what it is told of the network.
func networkOf(spec Spec) (network, error) {
	bridge, err := netlink.LinkByName(spec.Bridge)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return network{}, fmt.Errorf("there is no bridge %s: run `make demo` or `make up` first, which make drover0, or name another with --bridge", spec.Bridge)
	}
	if err != nil {
		return network{}, fmt.Errorf("find the bridge %s: %w", spec.Bridge, err)
	}
	gateway, err := addressOf(bridge)
	if err != nil {
		return network{}, err
	}
	if !gateway.Contains(spec.Address) || gateway.Addr() == spec.Address {
		return network{}, fmt.Errorf("%s is no address for a machine on %s, which has %s", spec.Address, spec.Bridge, gateway)
	}
	resolvers, _ := os.ReadFile("/etc/resolv.conf") // a host without any has none to give
	return network{bridge: bridge, gateway: gateway, resolver: resolverOf(string(resolvers), gateway.Addr())}, nil
}

func addressOf(bridge netlink.Link) (netip.Prefix, error) {
	addrs, err := netlink.AddrList(bridge, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read the address of %s: %w", bridge.Attrs().Name, err)
	}
	if len(addrs) == 0 {
		return netip.Prefix{}, fmt.Errorf("the bridge %s has no address that could be a gateway's", bridge.Attrs().Name)
	}
	return netip.ParsePrefix(addrs[0].IPNet.String())
}

// resolverOf is the host's first DNS server that a machine can reach too.
func resolverOf(resolvConf string, otherwise netip.Addr) netip.Addr {
	for line := range strings.Lines(resolvConf) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil && a.Is4() && !a.IsLoopback() {
			return a
		}
	}
	return otherwise
}

func netmask(p netip.Prefix) net.IP { return net.IP(net.CIDRMask(p.Bits(), 32)) }

// attach makes the machine's link and attaches it to the bridge.
func (m *Machine) attach(bridge netlink.Link) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = m.Link()
	tap := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI}
	// One that is there is this machine's of before, which is off.
	link, err := netlink.LinkByName(m.Link())
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		err = netlink.LinkAdd(tap)
		link = tap
	}
	if err == nil {
		err = netlink.LinkSetMaster(link, bridge)
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("attach its link %s to %s: %w", m.Link(), bridge.Attrs().Name, err)
	}
	return nil
}
