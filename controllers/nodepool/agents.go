package nodepool

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/ownership"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/sides"
)

// workload is the side that the pool's nodes are on.
func (r *Reconciler) workload() sides.Side {
	if r.Workload.Client == nil {
		return sides.Side{Client: r.Client, Live: r.APIReader}
	}
	return r.Workload
}

// confirmPool reads the pool from the API server when there are machines to confirm. It comes before their NodeAgents: what
// another manager has begun to change since is then named in its status, or the next write of that status fails.
func (r *Reconciler) confirmPool(ctx context.Context, seen *observation, confirm []string) error {
	if len(confirm) == 0 {
		return nil
	}
	key := client.ObjectKeyFromObject(seen.Pool)
	live := &v1alpha1.NodePool{}
	if err := r.APIReader.Get(ctx, key, live); err != nil {
		return fmt.Errorf("read NodePool %s from the API server: %w", key, err)
	}
	seen.Pool, seen.Confirmed = live, true
	return nil
}

// observeAgents reads the NodeAgents of the pool's machines from the cache; from the API server those that are to be
// confirmed, that the live pool names as being changed, and those whose last write by us the cache does not show.
func (r *Reconciler) observeAgents(ctx context.Context, seen *observation) error {
	list := &v1alpha1.NodeAgentList{}
	selector := client.MatchingLabels{v1alpha1.PoolUIDLabel: string(seen.Pool.UID)}
	if err := r.workload().List(ctx, list, selector, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the NodeAgents of NodePool %s: %w", client.ObjectKeyFromObject(seen.Pool), err)
	}
	seen.Agents = make(map[string]*v1alpha1.NodeAgent, len(list.Items))
	stale := map[string]bool{}
	maps.Copy(stale, seen.Sure)
	for i := range list.Items {
		agent := &list.Items[i]
		seen.Agents[agent.Name] = agent
		if r.agents.IsOlder(agent) {
			stale[agent.Name] = true
		}
	}
	for name := range stale {
		delete(seen.Agents, name)
	}
	agents, err := sureReads[*v1alpha1.NodeAgent]{
		from: r.workload().Live, list: &v1alpha1.NodeAgentList{}, blank: func() *v1alpha1.NodeAgent { return &v1alpha1.NodeAgent{} }, atOnce: r.concurrency(),
	}.read(ctx, seen.Pool, stale)
	maps.Copy(seen.Agents, agents)
	return err
}

// confirmMachines reads the Machines from the API server whose NodeAgents were just read from there: a cache may still show one as it
// was before its node was changed, and well, which the next one waits for.
func (r *Reconciler) confirmMachines(ctx context.Context, seen *observation) error {
	uncertain, kept := map[string]bool{}, make([]*clusterv1.Machine, 0, len(seen.Machines))
	for _, m := range seen.Machines {
		if seen.Sure[m.Name] {
			uncertain[m.Name] = true
		}
	}
	machines, err := sureReads[*clusterv1.Machine]{
		from: r.APIReader, namespace: seen.Pool.Namespace, list: &clusterv1.MachineList{}, blank: func() *clusterv1.Machine { return &clusterv1.Machine{} }, atOnce: r.concurrency(),
	}.read(ctx, seen.Pool, uncertain)
	if err != nil {
		return err
	}
	for _, m := range seen.Machines {
		if uncertain[m.Name] {
			live := machines[m.Name]
			if live == nil || live.UID != m.UID {
				continue
			}
			if m = live; isStray(seen.Pool, live) {
				m, _ = ownership.Mended(seen.Pool, live)
			}
		}
		kept = append(kept, m)
	}
	seen.Machines = kept
	return nil
}

// sure are the machines of a confirmed observation that no cache is to be believed about; nil of another one.
func (o *observation) sure(confirm []string) map[string]bool {
	if !o.Confirmed {
		return nil
	}
	names := map[string]bool{}
	for _, name := range slices.Concat(confirm, o.Pool.Status.Updating) {
		names[name] = true
	}
	return names
}

// readRevisions reads what the pool's revisions stand for.
func (o *observation) readRevisions() {
	target := o.revision(o.Revision)
	o.Contents = make(map[string]planner.Content, len(o.stored)+1)
	for i := range o.stored {
		o.readRevision(&o.stored[i], target)
	}
	if o.rendered != nil {
		o.readRevision(o.rendered, target)
	}
}

// readRevision reads what one stands for. The planner does without one that cannot be read; the target is read once more when a
// machine is to run it, and says what is wrong.
func (o *observation) readRevision(revision, target *appsv1.ControllerRevision) {
	spec := &v1alpha1.NodeAgentSpec{}
	if json.Unmarshal(revision.Data.Raw, spec) != nil {
		return
	}
	o.Contents[revision.Labels[v1alpha1.RevisionLabel]] = planner.Content{
		Spec: spec, Elsewhere: target != nil && !desired.SameInfrastructure(revision, target),
	}
}

// versionOf is the version of Kubernetes that a revision asks for.
func (o *observation) versionOf(revision string) string {
	if spec := o.Contents[revision].Spec; spec != nil {
		return spec.Version
	}
	return o.Pool.Spec.Template.Spec.Version
}

// revision is the ControllerRevision of that name, stored or about to be; nil when there is none.
func (o *observation) revision(name string) *appsv1.ControllerRevision {
	if name == "" {
		return nil
	}
	for _, newer := range []*appsv1.ControllerRevision{o.rendered, o.learned} {
		if newer != nil && newer.Labels[v1alpha1.RevisionLabel] == name {
			return newer
		}
	}
	for i := range o.stored {
		if o.stored[i].Labels[v1alpha1.RevisionLabel] == name {
			return &o.stored[i]
		}
	}
	return nil
}
