package network

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/drover-dev/drover/internal/atomicfile"
)

// cache keeps the node's own pod ranges over restarts of the agent.
type cache struct {
	Node     string         `json:"node"`
	PodCIDRs []netip.Prefix `json:"podCIDRs"`
}

func cachePath(stateDir string) string { return filepath.Join(stateDir, "network.json") }

// CachedPodCIDRs are the pod ranges that the node had when the agent last knew; none when it never did.
func CachedPodCIDRs(stateDir, node string) []netip.Prefix {
	data, err := os.ReadFile(cachePath(stateDir))
	if err != nil {
		return nil
	}
	var c cache
	if json.Unmarshal(data, &c) != nil || c.Node != node {
		return nil
	}
	return c.PodCIDRs
}

func storePodCIDRs(stateDir, node string, own []netip.Prefix) error {
	data, err := json.Marshal(cache{Node: node, PodCIDRs: own})
	if err != nil {
		return err
	}
	_, err = atomicfile.WriteIfChanged(cachePath(stateDir), data, 0o644)
	return err
}
