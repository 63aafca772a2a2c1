package nodepool

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/stop"
)

// Foresee says what a manager would do about a pool now, and why, by the manager's own observation and planner. It reads from the
// API server alone, and changes nothing. The pool is taken as it is given, also with a spec that is not applied yet.
//
// What a manager has found out beside the objects is not known here: what the API server refused it lately, and whether it can tell
// nodes about their cluster. It says both in the pool's status. A nil version leaves the skew of kubelet and API server unjudged, and a
// nil switch the fleet unstopped.
func Foresee(ctx context.Context, c client.Client, pool *v1alpha1.NodePool, version *ServerVersion, halt *stop.Switch) (planner.Explanation, error) {
	reads := &asGiven{Client: client.NewDryRunClient(c), pool: pool}
	r := &Reconciler{Client: reads, APIReader: reads, Discoverer: DiscovererFunc(anyFacts), ServerVersion: version, Stop: halt, foresees: true}
	seen, _, err := r.decide(ctx, pool.DeepCopy())
	if err != nil {
		return planner.Explanation{}, err
	}
	return planner.Explain(seen.Snapshot), nil
}

func anyFacts(context.Context) (v1alpha1.ClusterSettings, error) {
	return v1alpha1.ClusterSettings{}, nil
}

// asGiven shows one pool as it was given, and all else as it is.
type asGiven struct {
	client.Client
	pool *v1alpha1.NodePool
}

// Get reads an object.
func (a *asGiven) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if pool, is := object.(*v1alpha1.NodePool); is && key == client.ObjectKeyFromObject(a.pool) {
		a.pool.DeepCopyInto(pool)
		return nil
	}
	return a.Client.Get(ctx, key, object, options...)
}
