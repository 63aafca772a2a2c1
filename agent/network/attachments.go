package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// resultsDir is where libcni, which containerd calls the plugins by, keeps what they answered until a pod is taken off the
// network. Unlike the leases it outlives a reboot.
const resultsDir = "/var/lib/cni/results"

// attachment is a pod's place on the bridge, as the plugins made it.
type attachment struct {
	// pod is its namespace and name.
	pod string
	// container is its sandbox's ID, by which the plugins know it.
	container string
	// port is the pod's link on this side.
	port string
	// addresses are the pod's, and gateways the bridge's for them, of the size of their ranges.
	addresses []netip.Addr
	gateways  []netip.Prefix
	// bridge is the bridge's hardware address when the pod came, by which it still knows its gateway.
	bridge net.HardwareAddr
	// hostPorts are those of the node that lead to it.
	hostPorts []string
}

// result is the part of libcni's file that is of use here; see cachedInfo in its libcni/api.go and the CNI specification.
type result struct {
	ContainerID string      `json:"containerId"`
	NetworkName string      `json:"networkName"`
	NetNS       string      `json:"netns"`
	CNIArgs     [][2]string `json:"cniArgs"`
	Capability  struct {
		PortMappings []struct {
			HostPort int    `json:"hostPort"`
			Protocol string `json:"protocol"`
		} `json:"portMappings"`
	} `json:"capabilityArgs"`
	Result struct {
		Interfaces []struct {
			Name    string `json:"name"`
			Mac     string `json:"mac"`
			Sandbox string `json:"sandbox"`
		} `json:"interfaces"`
		IPs []struct {
			Address netip.Prefix `json:"address"`
			Gateway netip.Addr   `json:"gateway"`
		} `json:"ips"`
	} `json:"result"`
}

func (r *result) attachment() attachment {
	a := attachment{pod: r.pod(), container: r.ContainerID}
	for _, i := range r.Result.Interfaces {
		switch {
		case i.Name == Bridge:
			a.bridge, _ = net.ParseMAC(i.Mac)
		case i.Sandbox == "":
			a.port = i.Name
		}
	}
	for _, ip := range r.Result.IPs {
		a.addresses = append(a.addresses, ip.Address.Addr())
		if ip.Gateway.IsValid() {
			a.gateways = append(a.gateways, netip.PrefixFrom(ip.Gateway, ip.Address.Bits()))
		}
	}
	for _, p := range r.Capability.PortMappings {
		if p.HostPort > 0 {
			a.hostPorts = append(a.hostPorts, fmt.Sprintf("%d/%s", p.HostPort, strings.ToUpper(p.Protocol)))
		}
	}
	return a
}

func (r *result) pod() string {
	names := map[string]string{}
	for _, arg := range r.CNIArgs {
		names[arg[0]] = arg[1]
	}
	if name := names["K8S_POD_NAME"]; name != "" {
		return names["K8S_POD_NAMESPACE"] + "/" + name
	}
	return r.ContainerID
}

// attachments are those of the pods that there are, by their sandboxes. A pod's address is taken before its link is made, and
// given back before that is removed; the answer is there from the end of the one to the end of the other. What has both is to
// be on the bridge, and stays so as long as it has both.
func (m *Manager) attachments() ([]attachment, error) {
	leased, err := m.leases()
	if err != nil || len(leased) == 0 {
		return nil, err
	}
	dir := m.ResultsDir
	if dir == "" {
		dir = resultsDir
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list what the CNI plugins made: %w", err)
	}
	m.read.Lock()
	defer m.read.Unlock()
	known := make(map[string]attachment, len(entries))
	var found []attachment
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, networkName+"-") {
			continue
		}
		a, before := m.known[name] // it is written once, for a sandbox that never comes again
		if !before {
			if a, err = readAttachment(filepath.Join(dir, name)); err != nil {
				continue // it is being written or removed just now
			}
		}
		known[name] = a
		if a.port != "" && slices.ContainsFunc(a.addresses, func(address netip.Addr) bool { return has(leased, address) }) {
			found = append(found, a)
		}
	}
	m.known = known
	return found, nil
}

// has looks for an address among sorted ones.
func has(sorted []netip.Addr, address netip.Addr) bool {
	_, there := slices.BinarySearchFunc(sorted, address, netip.Addr.Compare)
	return there
}

func readAttachment(path string) (attachment, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return attachment{}, err
	}
	var r result
	if err := json.Unmarshal(data, &r); err != nil {
		return attachment{}, err
	}
	return r.attachment(), nil
}

// lasting are the attachments of before that there still are: the others' pods came or went meanwhile.
func lasting(before, after []attachment) []attachment {
	return slices.DeleteFunc(slices.Clone(before), func(a attachment) bool {
		return !slices.ContainsFunc(after, func(b attachment) bool { return a.container == b.container })
	})
}
