package machine

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// AttachLink implements Host.
func (LinuxHost) AttachLink(l Link, p Process) error {
	bridge, err := netlink.LinkByName(l.Bridge)
	if err != nil {
		return unmakeable(fmt.Sprintf("The bridge %s is gone (%v): make it again.", l.Bridge, err))
	}
	hardware, err := net.ParseMAC(l.HardwareAddress)
	if err != nil {
		return fmt.Errorf("attach the machine to %s: %w", l.Bridge, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.MTU, attrs.Alias = l.HostName, bridge.Attrs().Index, bridge.Attrs().MTU, l.Alias
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: l.PeerName, PeerHardwareAddr: hardware,
		PeerMTU: uint32(attrs.MTU), PeerNamespace: netlink.NsPid(p.PID)} // An MTU is small.
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make the machine's link %s: %w", l.HostName, err)
	}
	host, err := netlink.LinkByName(l.HostName)
	if err != nil {
		return fmt.Errorf("find the machine's link %s: %w", l.HostName, err)
	}
	if err := netlink.LinkSetAlias(host, l.Alias); err != nil {
		return fmt.Errorf("name the owner of the link %s: %w", l.HostName, err)
	}
	if err := netlink.LinkSetUp(host); err != nil {
		return fmt.Errorf("set the machine's link %s up: %w", l.HostName, err)
	}
	return nil
}

// RemoveLink implements Host.
func (LinuxHost) RemoveLink(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the machine's link %s: %w", name, err)
	}
	err = netlink.LinkDel(link)
	if err == nil {
		return nil
	}
	// The kernel removes it by itself when the machine's network namespace goes; it may have been faster.
	if _, again := netlink.LinkByName(name); errors.As(again, &netlink.LinkNotFoundError{}) {
		return nil
	}
	return fmt.Errorf("remove the machine's link %s: %w", name, err)
}
