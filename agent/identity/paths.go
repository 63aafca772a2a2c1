package identity

import "path/filepath"

// Paths are the files of an identity.
type Paths struct {
	// StateDir is the agent's state directory.
	StateDir string
}

// Key is the private key of the first request, until it is answered.
func (p Paths) Key() string { return filepath.Join(p.StateDir, "pki", "agent.key") }

// Pair is the certificate and its key in one PEM file.
func (p Paths) Pair() string { return filepath.Join(p.StateDir, "pki", "agent.pem") }

// ServerCA is the PEM bundle that the API server is checked with.
func (p Paths) ServerCA() string { return filepath.Join(p.StateDir, "pki", "server-ca.crt") }

// Kubeconfig is the kubeconfig of the agent's identity.
func (p Paths) Kubeconfig() string { return filepath.Join(p.StateDir, "agent.kubeconfig") }
