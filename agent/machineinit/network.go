package machineinit

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/drover-dev/drover/api/node"
)

// configureNetwork gives the machine's interface its address and its way out.
func configureNetwork(n node.LocalBootNetwork) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	link, err := netlink.LinkByName(n.Interface)
	if err != nil {
		return fmt.Errorf("find the machine's interface %s: %w", n.Interface, err)
	}
	address, err := netlink.ParseAddr(n.Address)
	if err != nil {
		return fmt.Errorf("read the machine's address: %w", err)
	}
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("give %s the address %s: %w", n.Interface, n.Address, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", n.Interface, err)
	}
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: all, Gw: net.ParseIP(n.Gateway)}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("make %s the default gateway: %w", n.Gateway, err)
	}
	return nil
}
