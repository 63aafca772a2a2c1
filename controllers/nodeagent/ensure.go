package nodeagent

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/lookup"
)

// ensureNodeAgent makes the NodeAgent of a Machine. Its spec stays as it was made: a change of the pool's template is
// for machines made from then on.
func (r *Reconciler) ensureNodeAgent(ctx context.Context, o *observed) error {
	if o.agent != nil {
		return claimNodeAgent(o)
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
	if refused(err) {
		return troublef(v1alpha1.ReasonNodeAgentRefused, "create NodeAgent %s: %w: apply the dist/install.yaml of this manager's version, or change the policy that refuses it", agent.Name, err)
	}
	if err != nil {
		return fmt.Errorf("create NodeAgent %s: %w", agent.Name, err)
	}
	o.agent = agent
	ctrl.LoggerFrom(ctx).Info("Made the NodeAgent", "revision", agent.Spec.Revision)
	return nil
}

// claimNodeAgent makes sure that an existing NodeAgent is this Machine's. What another's says is not looked at.
func claimNodeAgent(o *observed) error {
	if o.agent.Labels[v1alpha1.MachineUIDLabel] == string(o.machine.UID) {
		return nil
	}
	o.agent = nil
	return troublef(v1alpha1.ReasonNodeNameTaken, "NodeAgent %s exists and is not that of Machine %s/%s: delete that NodeAgent, or this Machine",
		o.machine.Name, o.machine.Namespace, o.machine.Name)
}

// newNodeAgent is the NodeAgent of a Machine, with the spec of the revision that the Machine was made from.
func (r *Reconciler) newNodeAgent(ctx context.Context, machine *clusterv1.Machine) (*v1alpha1.NodeAgent, error) {
	revision, err := r.revisionOf(ctx, machine)
	if err != nil {
		return nil, err
	}
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{
		Name: machine.Name,
		Labels: map[string]string{
			v1alpha1.PoolLabel:          machine.Labels[v1alpha1.PoolLabel],
			v1alpha1.PoolUIDLabel:       machine.Labels[v1alpha1.PoolUIDLabel],
			v1alpha1.PoolNamespaceLabel: machine.Namespace,
			v1alpha1.MachineUIDLabel:    string(machine.UID),
		},
	}}
	if err := json.Unmarshal(revision.Data.Raw, &agent.Spec); err != nil {
		return nil, troublef(v1alpha1.ReasonRevisionUnusable, "read ControllerRevision %s/%s, which Machine %s was made from: %w: delete the Machine to have it replaced",
			revision.Namespace, revision.Name, machine.Name, err)
	}
	return agent, nil
}

// revisionOf reads the ControllerRevision that a Machine was made from, live when the cache lags behind.
func (r *Reconciler) revisionOf(ctx context.Context, machine *clusterv1.Machine) (*appsv1.ControllerRevision, error) {
	revision, err := lookup.RevisionOf(ctx, r.Management, r.Management.Live, machine)
	if revision != nil || err != nil {
		return revision, err
	}
	return nil, troublef(v1alpha1.ReasonRevisionUnusable, "there is no ControllerRevision %s, which Machine %s was made from: delete the Machine to have it replaced", lookup.RevisionName(machine), machine.Name)
}

// collect fences the name of a Machine that is gone and deletes its NodeAgent. A NodeAgent has no namespace, so no owner
// reference can do this; each one is looked at when the manager starts, which finds those whose Machine went in the
// meantime.
func (r *Reconciler) collect(ctx context.Context, machine types.NamespacedName) error {
	agent, err := lookup.GetOrNil(ctx, r.Workload, types.NamespacedName{Name: machine.Name}, &v1alpha1.NodeAgent{})
	if err != nil || agent == nil || agent.Labels[v1alpha1.PoolNamespaceLabel] != machine.Namespace {
		return err
	}
	live, err := lookup.GetOrNil(ctx, r.Management.Live, machine, &clusterv1.Machine{})
	if err != nil {
		return err
	}
	if live != nil && string(live.UID) == agent.Labels[v1alpha1.MachineUIDLabel] {
		return nil
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
