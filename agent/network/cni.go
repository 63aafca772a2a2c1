package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

const (
	// Bridge is the link that the node's pods are attached to.
	Bridge = "cni0"
	// ConflistName is the file of the CNI configuration.
	ConflistName = "10-drover.conflist"
	conflistMode = 0o644
	// networkName is the network's in the CNI configuration, and of its directory in leaseDir.
	networkName = "drover"
	// leaseDir holds host-local's leases. No pod outlives a reboot, and neither do they.
	leaseDir = "/run/drover/cni"
)

type object = map[string]any

// Conflist is the CNI configuration for a node's own pod ranges. An MTU of 0 leaves it to the plugin.
func Conflist(own []netip.Prefix, mtu int) ([]byte, error) {
	var ranges [][]object
	var routes []object
	for _, cidr := range own {
		ranges = append(ranges, []object{{"subnet": cidr.String()}})
		all := "0.0.0.0/0"
		if !cidr.Addr().Is4() {
			all = "::/0"
		}
		routes = append(routes, object{"dst": all})
	}
	bridge := object{
		"type": "bridge", "bridge": Bridge,
		"isGateway": true, "isDefaultGateway": false, "ipMasq": false, "hairpinMode": true,
		"ipam": object{"type": "host-local", "dataDir": leaseDir, "ranges": ranges, "routes": routes},
	}
	if mtu > 0 {
		bridge["mtu"] = mtu
	}
	data, err := json.MarshalIndent(object{
		"cniVersion": "1.0.0", "name": networkName,
		"plugins": []object{
			bridge,
			{"type": "portmap", "capabilities": object{"portMappings": true}, "snat": true, "backend": "nftables"},
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the CNI configuration: %w", err)
	}
	return append(data, '\n'), nil
}

func removeConflist(dir string) error {
	if err := os.Remove(filepath.Join(dir, ConflistName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the CNI configuration: %w", err)
	}
	return nil
}
