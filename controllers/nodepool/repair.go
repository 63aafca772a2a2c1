package nodepool

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

const (
	// listenEvery is how often at most the API server is asked whether it answers, for a pool whose machines are repaired.
	listenEvery = 10 * time.Second
	// mostSilence is how long it may have been between two of its answers for nothing to have been missed. A pool with unhealthy machines
	// is looked at each half minute.
	mostSilence = 2 * time.Minute
)

// listening is since when, by our own clock, the API server has answered for each pool without having been away. What its machines
// were before, or meanwhile, may be only what nobody could write down. The zero value is ready for use.
type listening struct {
	mu    sync.Mutex
	pools map[types.NamespacedName]answers
}

// answers are the first and the last that came without a gap.
type answers struct {
	pool        types.UID
	since, last time.Time
}

// isDue says that it is time to ask again.
func (l *listening) isDue(pool *v1alpha1.NodePool, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, known := l.pools[client.ObjectKeyFromObject(pool)]
	return !known || last.pool != pool.UID || now.Sub(last.last) >= listenEvery
}

// heard notes that the API server answered.
func (l *listening) heard(pool *v1alpha1.NodePool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pools == nil {
		l.pools = map[types.NamespacedName]answers{}
	}
	key := client.ObjectKeyFromObject(pool)
	next := l.pools[key]
	if next.pool != pool.UID || now.Sub(next.last) > mostSilence {
		next = answers{pool: pool.UID, since: now}
	}
	next.last = now
	l.pools[key] = next
}

// since is when it has answered first without a gap; now where it has not.
func (l *listening) since(pool *v1alpha1.NodePool, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.pools[client.ObjectKeyFromObject(pool)]; known.pool == pool.UID && !known.since.IsZero() {
		return known.since
	}
	return now
}

func (l *listening) forget(pool types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pools, pool)
}

// listen asks the API server whether it answers, where somebody may take its silence for that of machines.
func (r *Reconciler) listen(ctx context.Context, seen *observation) error {
	if len(seen.Pool.Spec.Repair.Ladder) == 0 && !slices.ContainsFunc(seen.Machines, planner.Asked) || r.foresees {
		return nil
	}
	if r.listening.isDue(seen.Pool, seen.Now) {
		if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(seen.Pool), &v1alpha1.NodePool{}); err != nil {
			r.listening.forget(client.ObjectKeyFromObject(seen.Pool))
			return fmt.Errorf("ask whether the API server answers: %w", err)
		}
		r.listening.heard(seen.Pool, seen.Now)
	}
	seen.ListeningSince = r.listening.since(seen.Pool, seen.Now)
	return nil
}

// beginRepair names in the pool's status the machine that is about to be repaired, and how. It fails if anybody wrote the pool since it
// was read: maybe another manager, who is about to repair another one.
func (r *Reconciler) beginRepair(ctx context.Context, seen *observation, repair *v1alpha1.MachineRepair) error {
	was := ptr.Deref(seen.Pool.Status.Repair, v1alpha1.NodePoolRepairStatus{})
	if equality.Semantic.DeepEqual(was.Current, repair) {
		return nil
	}
	base, pool := seen.Pool, seen.Pool.DeepCopy()
	was.Current = repair
	pool.Status.Repair = &was
	if err := r.patchStatus(ctx, base, pool); err != nil {
		return fmt.Errorf("note which machine of NodePool %s is repaired: %w", client.ObjectKeyFromObject(pool), err)
	}
	seen.Pool = pool
	return nil
}

// replaceMachine deletes a machine that is unhealthy, after the pool's status says so, and the Machine, where somebody asked for it, or
// it runs on a Host. It fails if anybody wrote the Machine since it was found to be: it may be well.
func (r *Reconciler) replaceMachine(ctx context.Context, seen *observation, action planner.Action, as *v1alpha1.MachineRepair, answer *planner.Answer) error {
	machine := seen.machine(action.Name)
	if machine == nil {
		return nil
	}
	if err := r.beginRepair(ctx, seen, as); err != nil {
		return err
	}
	machine, err := r.suspectHost(ctx, machine, action.Reason)
	if err != nil {
		return err
	}
	if answer != nil {
		answered, err := r.answer(ctx, machine, *answer)
		if err != nil {
			return err
		}
		machine = answered
	}
	object := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: machine.Namespace, Name: machine.Name}}
	asSeen := client.Preconditions{UID: ptr.To(action.UID), ResourceVersion: ptr.To(machine.ResourceVersion)}
	if err := r.Client.Delete(ctx, object, asSeen, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		return ignoreGone(err, "replace Machine %s", action.Name)
	}
	r.written.Deleted(seen.Pool, action.Name, action.UID)
	return nil
}

// treat asks the agent of a machine that is unhealthy for a rung of its repair, after the pool's status says so. It fails if anybody
// wrote the NodeAgent since: its agent may have said that it is well.
func (r *Reconciler) treat(ctx context.Context, seen *observation, action planner.Action, as *v1alpha1.MachineRepair) error {
	agent := seen.Agents[action.Name]
	if agent == nil {
		return nil
	}
	if err := r.beginRepair(ctx, seen, as); err != nil {
		return err
	}
	next := agent.DeepCopy()
	next.Spec.Repair = planner.RequestOf(as)
	if err := r.workload().Patch(ctx, next, client.MergeFromWithOptions(agent, client.MergeFromWithOptimisticLock{})); err != nil {
		return ignoreGone(err, "ask NodeAgent %s for %s", agent.Name, as.Rung)
	}
	r.agents.Wrote(next)
	return nil
}
