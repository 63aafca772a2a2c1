package nodepool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/revision"
	"github.com/drover-dev/drover/controllers/sides"
)

// observation is a snapshot, and what applying a plan for it needs besides.
type observation struct {
	planner.Snapshot
	// cluster is the adopted Cluster; nil when there is none.
	cluster *clusterv1.Cluster
	// template is what infrastructure machines are cloned from; nil when it was not found.
	template *unstructured.Unstructured
	// identity is that of the pool's template; nil while its bundle is not known.
	identity *revision.Identity
	// known is the template's revision as it is stored, nil when it is not; learned is the same with what is to be stored of
	// it besides, nil for nothing.
	known, learned *appsv1.ControllerRevision
	// rendered is the ControllerRevision to store before the first Machine of the revision; nil when it is stored.
	rendered *appsv1.ControllerRevision
	// stored are the pool's ControllerRevisions.
	stored []appsv1.ControllerRevision
	// makes says that a plan made machines, had it been sure, which a pool may that has as many as it wants: others are to go.
	makes bool
	// bundle is what the template's version stands for; nil when it was not found.
	bundle *v1alpha1.NodeBundle
	// forced is filled as the plan is applied.
	forced forcedDrains
}

// observe reads what the next decision depends on, from the cache but for what is needed from the API server.
func (r *Reconciler) observe(ctx context.Context, pool *v1alpha1.NodePool, sure needs) (*observation, error) {
	stopped, err := r.Stop.Why(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it is about
	}
	seen := &observation{Snapshot: planner.Snapshot{Now: r.now(), Pool: pool, Stopped: stopped}, makes: sure.makes}
	if err := r.confirmPool(ctx, seen, sure.confirm); err != nil {
		return nil, err
	}
	if err := r.observeMachines(ctx, seen, sure.live); err != nil {
		return nil, err
	}
	if seen.CacheBehind != "" {
		return seen, nil
	}
	if err := r.listen(ctx, seen); err != nil {
		return nil, err
	}
	seen.Sure = seen.sure(sure.confirm)
	if err := r.observeRevisions(ctx, seen); err != nil {
		return nil, err
	}
	if !seen.Pool.DeletionTimestamp.IsZero() {
		seen.Revision = seen.Pool.Status.Revision
		return seen, nil
	}
	if err := r.observeNodes(ctx, seen); err != nil {
		return nil, err
	}
	if err := r.observeAgents(ctx, seen); err != nil {
		return nil, err
	}
	if err := r.confirmMachines(ctx, seen); err != nil {
		return nil, err
	}
	if err := r.observeCordoned(ctx, seen); err != nil {
		return nil, err
	}
	if err := r.resolve(ctx, seen); err != nil {
		return nil, err
	}
	seen.readRevisions()
	seen.Refused = r.refusals.lately(seen)
	return seen, nil
}

// observeMachines reads the pool's Machines from the cache. Where they are to be live it reads the pool, and then the Machines, from
// the API server; also when the cache is behind for too long.
func (r *Reconciler) observeMachines(ctx context.Context, seen *observation, live bool) error {
	machines, err := r.cachedMachines(ctx, seen.Pool)
	if err != nil {
		return err
	}
	seen.Machines = machines
	behind, overdue := r.written.Behind(seen.Pool, machines, seen.Now)
	if behind != "" && !overdue {
		seen.CacheBehind = behind
		return nil
	}
	if overdue || live {
		// Names of machines that are gone come first: one that is made after them is not among these, and one before is
		// among the Machines.
		if err := r.observeGone(ctx, seen); err != nil {
			return err
		}
		return r.observeLive(ctx, seen)
	}
	return nil
}

// numberChanges says that the pool, as cached, has not as many machines as it wants, or that a reservation is open.
func numberChanges(seen *observation) bool {
	deleting := !seen.Pool.DeletionTimestamp.IsZero()
	if deleting && len(seen.Machines) == 0 || seen.Pool.Status.Reserved != nil {
		return true
	}
	want := int(ptr.Deref(seen.Pool.Spec.Replicas, 1))
	if deleting {
		want = 0
	}
	return !ptr.Deref(seen.Pool.Spec.Paused, false) && active(seen.Machines) != want
}

// wantsMachines says that machines are about to be made.
func wantsMachines(seen *observation) bool {
	if !seen.Pool.DeletionTimestamp.IsZero() || ptr.Deref(seen.Pool.Spec.Paused, false) {
		return false
	}
	return seen.makes || seen.Pool.Status.Reserved != nil || active(seen.Machines) < int(ptr.Deref(seen.Pool.Spec.Replicas, 1))
}

func active(machines []*clusterv1.Machine) int {
	n := 0
	for _, m := range machines {
		if m.DeletionTimestamp.IsZero() {
			n++
		}
	}
	return n
}

func (r *Reconciler) observeLive(ctx context.Context, seen *observation) error {
	key := client.ObjectKeyFromObject(seen.Pool)
	live := &v1alpha1.NodePool{}
	if err := r.APIReader.Get(ctx, key, live); err != nil {
		return fmt.Errorf("read NodePool %s from the API server: %w", key, err)
	}
	machines, err := r.labelledMachines(ctx, live)
	if err != nil {
		return err
	}
	strays, err := r.liveStrays(ctx, live, seen.Machines, machines)
	if err != nil {
		return err
	}
	machines = append(machines, strays...)
	r.written.Confirm(live, machines)
	seen.Pool, seen.Machines, seen.Live = live, machines, true
	return nil
}

// labelledMachines are those of the pool by its label, as they are now.
func (r *Reconciler) labelledMachines(ctx context.Context, pool *v1alpha1.NodePool) ([]*clusterv1.Machine, error) {
	list := &clusterv1.MachineList{}
	if err := r.APIReader.List(ctx, list, ofPool(pool)...); err != nil {
		return nil, fmt.Errorf("list the Machines of NodePool %s: %w", client.ObjectKeyFromObject(pool), err)
	}
	machines := make([]*clusterv1.Machine, 0, len(list.Items))
	for i := range list.Items {
		machines = append(machines, &list.Items[i])
	}
	return machines, nil
}

// ofPool selects what has the pool's UID in its label.
func ofPool(pool *v1alpha1.NodePool) []client.ListOption {
	return []client.ListOption{
		client.InNamespace(pool.Namespace),
		client.MatchingLabels{v1alpha1.PoolUIDLabel: string(pool.UID)},
		client.UnsafeDisableDeepCopy,
	}
}

func (r *Reconciler) observeRevisions(ctx context.Context, seen *observation) error {
	list := &appsv1.ControllerRevisionList{}
	if err := r.Client.List(ctx, list, ofPool(seen.Pool)...); err != nil {
		return fmt.Errorf("list the ControllerRevisions of NodePool %s: %w", client.ObjectKeyFromObject(seen.Pool), err)
	}
	seen.stored = list.Items
	slices.SortFunc(seen.stored, func(a, b appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Name, b.Name))
	})
	for i := range list.Items {
		seen.StoredRevisions = append(seen.StoredRevisions, list.Items[i].Labels[v1alpha1.RevisionLabel])
	}
	return nil
}

// observeNodes reads the Nodes whose names begin as the pool's machines' do. They matter only when machines are made.
func (r *Reconciler) observeNodes(ctx context.Context, seen *observation) error {
	if !seen.makes && !numberChanges(seen) {
		return nil
	}
	list := &corev1.NodeList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Nodes: %w", err)
	}
	seen.Nodes = map[string]*corev1.Node{}
	prefix := v1alpha1.MachineNamePrefix(seen.Pool)
	for i := range list.Items {
		if strings.HasPrefix(list.Items[i].Name, prefix) {
			seen.Nodes[list.Items[i].Name] = &list.Items[i]
		}
	}
	return nil
}

// observeGone reads the names of machines that are gone: each has a NodeAgent until its name is on the list of those that
// may not come back. Both are apart from the pool's status, which somebody may have put back.
func (r *Reconciler) observeGone(ctx context.Context, seen *observation) error {
	if !seen.Pool.DeletionTimestamp.IsZero() {
		return nil // no machine is made any more
	}
	var err error
	if seen.Gone, err = (fence.List{Workload: sides.Side{Client: r.Client, Live: r.APIReader}}).Names(ctx); err != nil {
		return fmt.Errorf("read the names of machines that are gone: %w", err)
	}
	agents := &v1alpha1.NodeAgentList{}
	if err := r.Client.List(ctx, agents, client.MatchingLabels{v1alpha1.PoolUIDLabel: string(seen.Pool.UID)}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the NodeAgents of NodePool %s: %w", client.ObjectKeyFromObject(seen.Pool), err)
	}
	for i := range agents.Items {
		seen.Gone = append(seen.Gone, agents.Items[i].Name) // The planner knows those whose machine is there.
	}
	return nil
}
