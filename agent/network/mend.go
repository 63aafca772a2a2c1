package network

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// mended is what was made again, and when.
type mended struct {
	faults []string
	at     time.Time
}

// remembered is how long what was made again is told of: whoever took it away may do so again.
const remembered = time.Hour

// bridgePods makes what the CNI plugin made for the pods that run, and will not make again for them: the bridge, its state, its
// addresses, and their links on it. It is done as the plugin does it; see ensureBridge, ensureAddr and setupVeth in the bridge
// plugin's bridge.go.
func (m *Manager) bridgePods(config Config, own []netip.Prefix, nodes []Node, mtu int) error {
	before, err := m.attachments()
	if err != nil || len(before) == 0 {
		return err
	}
	state, err := m.Kernel.Bridge()
	if err != nil {
		return err
	}
	addresses, err := m.Kernel.BridgeAddresses()
	if err != nil {
		return err
	}
	after, err := m.attachments()
	pods := lasting(before, after)
	if err != nil || len(pods) == 0 {
		return err
	}
	if !state.Exists || !state.Up {
		if err := m.Kernel.MakeBridge(mac(pods), mtu); err != nil {
			return err
		}
	}
	var errs []error
	for _, address := range gateways(pods, own, taken(config.Node, nodes)) {
		if !slices.Contains(addresses, address) {
			errs = append(errs, m.Kernel.AddBridgeAddress(address))
		}
	}
	for _, a := range pods {
		if state.Ports[a.port] != (Port{Up: true, Hairpin: true}) {
			errs = append(errs, m.Kernel.AttachPort(a.port))
		}
	}
	return errors.Join(errs...)
}

// mac is the bridge's hardware address as pods know it: with another one they would talk to nobody until they ask again.
func mac(pods []attachment) net.HardwareAddr {
	for _, a := range pods {
		if len(a.bridge) > 0 {
			return a.bridge
		}
	}
	return nil
}

// without are those of before that are not among after.
func without(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(before), func(f string) bool { return slices.Contains(after, f) })
}
