package v1alpha1

import "time"

// DefaultNodeStartupTimeout is spec.nodeStartupTimeoutSeconds of a pool that does not say.
const DefaultNodeStartupTimeout = 15 * time.Minute

// NodeStartupTimeout is how long a machine of the pool may take to join.
func (p *NodePool) NodeStartupTimeout() time.Duration {
	if p.Spec.NodeStartupTimeoutSeconds == nil {
		return DefaultNodeStartupTimeout
	}
	return time.Duration(*p.Spec.NodeStartupTimeoutSeconds) * time.Second
}
