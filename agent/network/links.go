package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/dump"
)

// BridgeState is the pods' bridge as the kernel has it.
type BridgeState struct {
	Exists, Up bool
	// Ports are the links on it, by their names.
	Ports map[string]Port
}

// Port is a link on the bridge.
type Port struct {
	Up bool
	// Hairpin says that a packet may leave by the port that it came by.
	Hairpin bool
}

func (kernel) Bridge() (BridgeState, error) {
	link, err := bridge()
	if err != nil || link == nil {
		return BridgeState{}, err
	}
	ports, err := dump.Whole(func() ([]portInfo, error) { return portsOf(link.Attrs().Index) })
	if err != nil {
		return BridgeState{}, fmt.Errorf("list the links on %s: %w", Bridge, err)
	}
	state := BridgeState{Exists: true, Up: up(link), Ports: make(map[string]Port, len(ports))}
	for _, p := range ports {
		state.Ports[p.name] = p.Port
	}
	return state, nil
}

func up(link netlink.Link) bool { return link.Attrs().RawFlags&unix.IFF_UP != 0 }

type portInfo struct {
	name string
	Port
}

// portsOf asks for the links on a bridge, all in one, of which the library tells one for each question.
func portsOf(index int) ([]portInfo, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_BRIDGE))
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	var ports []portInfo
	for _, message := range messages {
		info := nl.DeserializeIfInfomsg(message)
		attributes, err := nl.ParseRouteAttr(message[info.Len():])
		if err != nil {
			return nil, err
		}
		if p, of := portFrom(attributes); of == index && int(info.Index) != index {
			p.Up = info.Flags&unix.IFF_UP != 0
			ports = append(ports, p)
		}
	}
	return ports, nil
}

// portFrom reads a link's attributes, and the index of the bridge that it is on.
func portFrom(attributes []syscall.NetlinkRouteAttr) (p portInfo, of int) {
	for _, a := range attributes {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			p.name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_MASTER:
			of = int(nl.NativeEndian().Uint32(a.Value))
		case unix.IFLA_PROTINFO:
			p.Hairpin = hairpin(a.Value)
		}
	}
	return p, of
}

func hairpin(protinfo []byte) bool {
	attributes, err := nl.ParseRouteAttr(protinfo)
	if err != nil {
		return false
	}
	for _, a := range attributes {
		if a.Attr.Type == nl.IFLA_BRPORT_MODE {
			return len(a.Value) > 0 && a.Value[0] != 0
		}
	}
	return false
}

func (kernel) HasLink(name string) (bool, error) {
	_, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find link %s: %w", name, err)
	}
	return true, nil
}

func (kernel) Sysctl(name string) (string, error) {
	data, err := os.ReadFile(sysctlPath(name))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return strings.TrimSpace(string(data)), nil
}

func (kernel) SetSysctl(name, value string) error {
	if err := os.WriteFile(sysctlPath(name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s to %s: %w", name, value, err)
	}
	return nil
}

func sysctlPath(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

func (kernel) MakeBridge(mac net.HardwareAddr, mtu int) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU, attributes.HardwareAddr = Bridge, mtu, mac
	err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attributes})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make link %s: %w", Bridge, err)
	}
	link, err := bridge()
	if err != nil || link == nil {
		return err
	}
	if len(mac) == 0 { // else the kernel gives it the lowest of its ports', a new one with each pod
		if err := netlink.LinkSetHardwareAddr(link, link.Attrs().HardwareAddr); err != nil {
			return fmt.Errorf("keep the hardware address of %s: %w", Bridge, err)
		}
	}
	_ = os.WriteFile(sysctlPath("net.ipv6.conf."+Bridge+".accept_ra"), []byte("0"), 0o644) // where there is IPv6
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", Bridge, err)
	}
	return nil
}

func (kernel) AttachPort(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil // nobody can make a pod's link again but the plugin, for another pod
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	on, err := bridge()
	if err != nil || on == nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return netlink.LinkSetMaster(link, on) },
		func() error { return netlink.LinkSetHairpin(link, true) },
		func() error { return netlink.LinkSetUp(link) },
	} {
		if err := step(); err != nil && !errors.Is(err, unix.ENODEV) { // its pod may have gone just now
			return fmt.Errorf("connect link %s to %s: %w", name, Bridge, err)
		}
	}
	return nil
}
