// Package sides names the two clusters that a controller may stand between. The management side has NodePools, Machines,
// ControllerRevisions, machines of providers and bootstrap Secrets; the workload side has what a node's own cluster
// keeps: Nodes, NodeAgents, certificate requests and join tokens. Today both are the cluster that the manager runs in,
// reached by one client; a controller that says each time which side it means can serve nodes of other clusters as well.
package sides

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Side is how a controller reaches one of the two.
type Side struct {
	// Client reads from a cache and writes.
	client.Client
	// Live reads from the API server.
	Live client.Reader
}

// Source is what has both: a manager, or a cluster.Cluster of controller-runtime's.
type Source interface {
	GetClient() client.Client
	GetAPIReader() client.Reader
}

// Of is the side that the source reaches.
func Of(source Source) Side {
	return Side{Client: source.GetClient(), Live: source.GetAPIReader()}
}

// Or is this side, or the source's when none was named.
func (s Side) Or(source Source) Side {
	if s.Client == nil {
		return Of(source)
	}
	return s
}

// Reader reads from the API server when live is true, else from the cache.
func (s Side) Reader(live bool) client.Reader {
	if live {
		return s.Live
	}
	return s.Client
}
