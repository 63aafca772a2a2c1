package nodeagent

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/refusal"
)

// ensureNodeAgent makes the NodeAgent of a Machine, with the revision that the Machine was made from; or, where somebody deleted
// it, with the one that it had. One that is there is kept as it should be; that it is to run another revision is the nodepool
// controller's to write, one node at a time.
func (r *Reconciler) ensureNodeAgent(ctx context.Context, o *observed) error {
	if o.agent != nil {
		if err := claimNodeAgent(o); err != nil {
			return err
		}
		return r.keepNodeAgent(ctx, o)
	}
	agent, err := r.newNodeAgent(ctx, o.machine)
	if err != nil {
		return err
	}
	err = r.Workload.Create(ctx, agent)
	if apierrors.IsAlreadyExists(err) {
		if o.agent, err = lookup.GetOrNil(ctx, r.Workload.Live, types.NamespacedName{Name: o.machine.Name}, &v1alpha1.NodeAgent{}); err != nil || o.agent == nil {
			return err
		}
		return claimNodeAgent(o)
	}
	if refusal.ForGood(err) {
		return troublef(v1alpha1.ReasonNodeAgentRefused, "create NodeAgent %s: %w: apply the dist/install.yaml of this manager's version, or change the policy that refuses it", agent.Name, err)
	}
	if err != nil {
		return fmt.Errorf("create NodeAgent %s: %w", agent.Name, err)
	}
	o.agent = agent
	ctrl.LoggerFrom(ctx).Info("Made the NodeAgent", "revision", agent.Spec.Revision)
	return nil
}

// claimNodeAgent makes sure that an existing NodeAgent is this Machine's. What another's says is not looked at. Where somebody took
// away the Machine's UID, that of the pool will do: a pool uses a name once.
func claimNodeAgent(o *observed) error {
	uid, pool := o.agent.Labels[v1alpha1.MachineUIDLabel], o.agent.Labels[v1alpha1.PoolUIDLabel]
	switch {
	case uid == string(o.machine.UID):
		return nil
	case uid == "" && pool == string(o.pool.UID):
		return nil // The label is put back with the others.
	}
	o.agent = nil
	return troublef(v1alpha1.ReasonNodeNameTaken, "NodeAgent %s exists and is not that of Machine %s/%s: delete that NodeAgent, or this Machine",
		o.machine.Name, o.machine.Namespace, o.machine.Name)
}

// newNodeAgent is the NodeAgent of a Machine, with the spec of the revision that it was told last to run.
func (r *Reconciler) newNodeAgent(ctx context.Context, machine *clusterv1.Machine) (*v1alpha1.NodeAgent, error) {
	if machine.Status.NodeRef.IsDefined() { // Somebody deleted it. What the node was told a moment ago counts as well.
		live, err := lookup.GetOrNil(ctx, r.Management.Live, client.ObjectKeyFromObject(machine), &clusterv1.Machine{})
		if err != nil {
			return nil, err
		}
		machine = cmp.Or(live, machine)
	}
	revision, err := r.revisionOf(ctx, machine)
	if err != nil {
		return nil, err
	}
	cluster, err := r.Facts.Discover(ctx)
	if err != nil {
		return nil, troublef(v1alpha1.ReasonDiscoveryFailed, "find out what Machine %s must know about this cluster: %w", machine.Name, err)
	}
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: machine.Name, Labels: agentLabels(machine)}}
	var unusable *desired.UnusableError
	if agent.Spec, err = desired.SpecOf(ctx, r.Management, revision, cluster); errors.As(err, &unusable) {
		return nil, troublef(v1alpha1.ReasonRevisionUnusable, "%w: Machine %s is to run it: delete the Machine to have it replaced", err, machine.Name)
	}
	return agent, err
}

// agentLabels are those by which the NodeAgent of a Machine is found.
func agentLabels(machine *clusterv1.Machine) map[string]string {
	return map[string]string{
		v1alpha1.PoolLabel:          machine.Labels[v1alpha1.PoolLabel],
		v1alpha1.PoolUIDLabel:       machine.Labels[v1alpha1.PoolUIDLabel],
		v1alpha1.PoolNamespaceLabel: machine.Namespace,
		v1alpha1.MachineUIDLabel:    string(machine.UID),
	}
}

// revisionOf reads the ControllerRevision that a Machine was told last to run, live when the cache lags behind.
func (r *Reconciler) revisionOf(ctx context.Context, machine *clusterv1.Machine) (*appsv1.ControllerRevision, error) {
	revision, err := lookup.RevisionOf(ctx, r.Management, r.Management.Live, lookup.ToldRevisionName(machine))
	if revision != nil || err != nil {
		return revision, err
	}
	return nil, troublef(v1alpha1.ReasonRevisionUnusable, "there is no ControllerRevision %s, which Machine %s is to run: delete the Machine to have it replaced", lookup.ToldRevisionName(machine), machine.Name)
}

// collect fences the name of a Machine that is gone and deletes its NodeAgent. A NodeAgent has no namespace, so no owner
// reference can do this; each one is looked at when the manager starts, which finds those whose Machine went in the
// meantime.
func (r *Reconciler) collect(ctx context.Context, machine types.NamespacedName) error {
	agent, err := lookup.GetOrNil(ctx, r.Workload, types.NamespacedName{Name: machine.Name}, &v1alpha1.NodeAgent{})
	if err != nil || agent == nil {
		return err
	}
	if namespace := agent.Labels[v1alpha1.PoolNamespaceLabel]; namespace != "" && namespace != machine.Namespace {
		return nil
	}
	live, err := r.machineOf(ctx, agent)
	if err != nil {
		return err
	}
	if live != nil && isOf(agent, live) {
		return nil
	}
	if live == nil && machine.Namespace == "" && !isOurs(agent) {
		return nil // Only where a Machine of its name has just gone is it known to be ours.
	}
	if live == nil {
		// Its machine may run on and never hear of this: what keeps it out comes before the last trace of it goes.
		if err := (fence.List{Workload: r.Workload}).Add(ctx, agent.Name); err != nil {
			return err
		}
	}
	if err := r.Workload.Delete(ctx, agent, client.Preconditions{UID: &agent.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete NodeAgent %s: %w", agent.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Deleted the NodeAgent of a Machine that is gone", "nodeAgent", agent.Name)
	return nil
}

// machineOf reads live the Machine of a NodeAgent's name, or nil: in the namespace that its label names, or in any where somebody
// took that away.
func (r *Reconciler) machineOf(ctx context.Context, agent *v1alpha1.NodeAgent) (*clusterv1.Machine, error) {
	if namespace := agent.Labels[v1alpha1.PoolNamespaceLabel]; namespace != "" {
		return lookup.GetOrNil(ctx, r.Management.Live, types.NamespacedName{Namespace: namespace, Name: agent.Name}, &clusterv1.Machine{})
	}
	machines := &clusterv1.MachineList{}
	if err := r.Management.Live.List(ctx, machines, client.MatchingFields{"metadata.name": agent.Name}); err != nil {
		return nil, fmt.Errorf("look for the Machine of NodeAgent %s: %w", agent.Name, err)
	}
	for i := range machines.Items {
		if isOf(agent, &machines.Items[i]) {
			return &machines.Items[i], nil
		}
	}
	return nil, nil
}

// isOurs says that a NodeAgent has a label of those that Drover gives it. Somebody else may have made one that has none.
func isOurs(agent *v1alpha1.NodeAgent) bool {
	return agent.Labels[v1alpha1.MachineUIDLabel] != "" || agent.Labels[v1alpha1.PoolUIDLabel] != "" || agent.Labels[v1alpha1.PoolNamespaceLabel] != ""
}

// isOf says that a NodeAgent is that of the Machine of its name, as far as its label tells.
func isOf(agent *v1alpha1.NodeAgent, machine *clusterv1.Machine) bool {
	uid := agent.Labels[v1alpha1.MachineUIDLabel]
	return uid == "" || uid == string(machine.UID)
}
