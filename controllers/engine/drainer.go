package engine

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/core/reconcilers/machine/drain"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/controllers/sides"
)

// Drainer empties nodes that stay, as Cluster API's Machine reconciler empties those that go: with the same helper, so
// that MachineDrainRules, DaemonSets and PodDisruptionBudgets count for the same.
type Drainer struct {
	// Management has the Machines and MachineDrainRules.
	Management client.Client
	// Workload has the Nodes and pods.
	Workload sides.Side
}

// Drain evicts what has to go from the Node of a Machine, which somebody has cordoned. It says what is still there, in the
// words of a Machine's condition Deleting, or nothing once the node is empty. Since is when the drain began.
//
// A node that cannot be reached is not forced, other than one that goes: its pods may run.
func (d *Drainer) Drain(ctx context.Context, cluster *clusterv1.Cluster, machine *clusterv1.Machine, since metav1.Time) (string, error) {
	// A grace below zero is each pod's own.
	helper := &drain.Helper{Client: d.Management, RemoteClient: d.Workload.Client, GracePeriodSeconds: -1}
	node := machine.Status.NodeRef.Name
	pods, err := helper.GetPodsForEviction(ctx, cluster, machine, node)
	if err != nil {
		return "", fmt.Errorf("drain Node %s: %w", node, err)
	}
	if len(pods.Pods()) == 0 {
		return "", nil
	}
	return helper.EvictPods(ctx, pods).ConditionMessage(since), nil
}
