package raw

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// StartPath has, on the machine, the nanoseconds since the host's boot (CLOCK_BOOTTIME) when containerd was started.
const StartPath = "/run/drover/raw-start"

// Document is what the machine is told.
type Document struct {
	NodeName string
	// Spec is that of a node of Drover's.
	Spec v1alpha1.NodeAgentSpec
	// PodCIDR is the range of the machine's pods. Nobody is asked for it, and nobody routes to it.
	PodCIDR netip.Prefix
	// BootstrapKubeconfig is what the kubelet asks for its certificate with, ProxyKubeconfig is kube-proxy's.
	BootstrapKubeconfig, ProxyKubeconfig []byte
}

// Encode makes it the machine's bootstrap document.
func (d *Document) Encode() ([]byte, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode the raw machine's document: %w", err)
	}
	return data, nil
}

func readDocument(path string) (*Document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the raw machine's document: %w", err)
	}
	d := &Document{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("read the raw machine's document: %w", err)
	}
	return d, nil
}
