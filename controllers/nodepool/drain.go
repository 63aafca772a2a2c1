package nodepool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/evictions"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/planner"
)

const (
	// retryDrain is how soon a node is looked at again that is not empty yet: its pods end.
	retryDrain = 2 * time.Second
	// retryStuck is how soon evictions are tried again that were refused, on a node that no pod leaves. It is Cluster API's own
	// for the nodes that go.
	retryStuck = 20 * time.Second
)

// Drainer evicts what has to go from the cordoned Node of a Machine. It says what is still there, or nothing once the node
// is empty.
type Drainer interface {
	Drain(ctx context.Context, cluster *clusterv1.Cluster, machine *clusterv1.Machine, since metav1.Time) (string, error)
}

// notEmptyError is a node that is not drained yet, and until when it is; zero for as long as it takes.
type notEmptyError struct {
	message string
	until   time.Time
}

func (e *notEmptyError) Error() string { return e.message }

// drain cordons a machine's Node and evicts its pods. It fails with a notEmptyError until the node is empty, or the pool's drain
// timeout over.
func (r *Reconciler) drain(ctx context.Context, seen *observation, action planner.Action) error {
	machine := seen.machine(action.Name)
	node, err := lookup.GetOrNil(ctx, r.workload().Live, types.NamespacedName{Name: action.Name}, &corev1.Node{})
	if err != nil || node == nil || machine == nil {
		return err // there is nothing to drain
	}
	if !machine.Status.NodeRef.IsDefined() {
		return &notEmptyError{message: "its Node has just registered, and its Machine does not know it yet"}
	}
	since, err := r.cordon(ctx, seen, machine, node)
	if err != nil {
		return err
	}
	message, err := r.evict(ctx, seen, machine, since)
	if err != nil || message == "" {
		return err
	}
	until := drainedUntil(seen.Pool, since)
	if until.IsZero() || seen.Now.Before(until) {
		return &notEmptyError{message: message, until: until}
	}
	ctrl.LoggerFrom(ctx).Info("Gave up draining a Node to change it", "node", node.Name, "since", since, "left", message)
	seen.forced.add(planner.Drain{Name: action.Name, Message: message, Until: until})
	return nil
}

// evict has the pods go that are left on a machine's Node, unless they were asked to a moment ago. It says what is still there.
func (r *Reconciler) evict(ctx context.Context, seen *observation, machine *clusterv1.Machine, since time.Time) (string, error) {
	if message := r.stuck.lately(machine.UID, seen.Now); message != "" {
		return message, nil
	}
	message, err := r.Drainer.Drain(ctx, seen.cluster, machine, metav1.NewTime(since))
	if err != nil {
		return "", fmt.Errorf("change Machine %s: %w", machine.Name, err)
	}
	r.stuck.remember(machine.UID, message, seen.Now)
	return message, nil
}

// stuckDrains remembers for a while what the drains said that are stuck, so that a pool's events, of which other machines
// raise many, do not ask for the same evictions again and again. The zero value is ready for use.
type stuckDrains struct {
	mu       sync.Mutex
	machines map[types.UID]stuckDrain
}

type stuckDrain struct {
	message string
	until   time.Time
}

// remember keeps what the drain of a machine said, if it is stuck.
func (s *stuckDrains) remember(machine types.UID, message string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.machines, func(_ types.UID, d stuckDrain) bool { return !now.Before(d.until) })
	if !evictions.Read(message).Stuck() {
		return
	}
	if s.machines == nil {
		s.machines = map[types.UID]stuckDrain{}
	}
	s.machines[machine] = stuckDrain{message: message, until: now.Add(retryStuck)}
}

// lately is what the drain of a machine said that is not to be tried again yet; empty when there is none.
func (s *stuckDrains) lately(machine types.UID, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.machines[machine]; now.Before(d.until) {
		return d.message
	}
	return ""
}

// drainAgain is how soon drains go on, or are given up.
func drainAgain(drains []planner.Drain, now time.Time) time.Duration {
	after := retryStuck
	for _, d := range drains {
		if !evictions.Read(d.Message).Stuck() {
			after = min(after, retryDrain)
		}
		if !d.Until.IsZero() {
			after = min(after, d.Until.Sub(now))
		}
	}
	return after
}

// cordon keeps new pods off a Node, and says since when it is drained. One that somebody else has cordoned gets no annotation: it is
// not ours to uncordon.
func (r *Reconciler) cordon(ctx context.Context, seen *observation, machine *clusterv1.Machine, node *corev1.Node) (time.Time, error) {
	if node.Spec.Unschedulable {
		if since, err := time.Parse(time.RFC3339, node.Annotations[v1alpha1.CordonedAnnotation]); err == nil {
			return since, nil
		}
		return r.draining.since(machine.UID, seen.Now), nil
	}
	since := r.now().Truncate(time.Second)
	base := node.DeepCopy()
	metav1.SetMetaDataAnnotation(&node.ObjectMeta, v1alpha1.CordonedAnnotation, since.UTC().Format(time.RFC3339))
	node.Spec.Unschedulable = true
	// Should somebody cordon it in this very moment, it is theirs.
	if err := r.workload().Patch(ctx, node, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return since, fmt.Errorf("cordon Node %s: %w", node.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Cordoned a Node to change it", "node", node.Name)
	return since, nil
}

func cordonedByUs(node *corev1.Node) bool {
	return metav1.HasAnnotation(node.ObjectMeta, v1alpha1.CordonedAnnotation)
}

// uncordon lets pods onto a Node again that we cordoned.
func (r *Reconciler) uncordon(ctx context.Context, action planner.Action) error {
	node, err := lookup.GetOrNil(ctx, r.workload().Live, types.NamespacedName{Name: action.Name}, &corev1.Node{})
	if err != nil || node == nil {
		return err
	}
	if !cordonedByUs(node) {
		return nil
	}
	base := node.DeepCopy()
	delete(node.Annotations, v1alpha1.CordonedAnnotation)
	node.Spec.Unschedulable = false
	if err := r.workload().Patch(ctx, node, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return ignoreGone(err, "uncordon Node %s", node.Name)
	}
	ctrl.LoggerFrom(ctx).Info("Uncordoned a Node that was changed", "node", node.Name)
	return nil
}

// observeCordoned finds the Nodes of the pool that we cordoned. Those to be confirmed it reads from the API server.
func (r *Reconciler) observeCordoned(ctx context.Context, seen *observation) error {
	list := &corev1.NodeList{}
	selector := client.MatchingLabels{v1alpha1.PoolUIDLabel: string(seen.Pool.UID)}
	if err := r.workload().List(ctx, list, selector, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the Nodes of NodePool %s: %w", client.ObjectKeyFromObject(seen.Pool), err)
	}
	seen.Cordoned = map[string]bool{}
	for i := range list.Items {
		if cordonedByUs(&list.Items[i]) {
			seen.Cordoned[list.Items[i].Name] = true
		}
	}
	nodes, err := sureReads[*corev1.Node]{
		from: r.workload().Live, list: &corev1.NodeList{}, blank: func() *corev1.Node { return &corev1.Node{} }, atOnce: r.concurrency(),
	}.read(ctx, seen.Pool, seen.Sure)
	for name := range seen.Sure {
		delete(seen.Cordoned, name)
		if node := nodes[name]; node != nil && cordonedByUs(node) {
			seen.Cordoned[name] = true
		}
	}
	return err
}

func (o *observation) machine(name string) *clusterv1.Machine {
	for _, m := range o.Machines {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// drains takes the nodes that are not empty yet out of the errors of actions.
func drains(actions []planner.Action, errs []error) []planner.Drain {
	var list []planner.Drain
	for i, err := range errs {
		var notEmpty *notEmptyError
		if errors.As(err, &notEmpty) {
			list = append(list, planner.Drain{Name: actions[i].Name, Message: notEmpty.message, Until: notEmpty.until})
			errs[i] = errNotTried
		}
	}
	return list
}
