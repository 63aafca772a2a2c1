package local

import (
	"context"
	"errors"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const defaultConcurrency = 10

// SetupWithManager registers the reconciler. The ends of machines are watched until ctx is done; the machines live
// on.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if r.Root == "" || r.AgentBinary == "" {
		return errors.New("set up the local provider: it needs --local-root and --agent-binary")
	}
	if r.MaxConcurrentReconciles == 0 {
		r.MaxConcurrentReconciles = defaultConcurrency
	}
	ends := r.prepare(ctx)
	if err := mgr.Add(&orphanage{reader: r.APIReader, machines: r.machines, log: ctrl.Log.WithName("local")}); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("localmachine").
		For(&v1alpha1.LocalMachine{}).
		Watches(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(machineOf), builder.WithPredicates(machineChanges())).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.machinesOf), builder.WithPredicates(clusterChanges())).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(secretOwner), builder.WithPredicates(bootstrapSecrets())).
		WatchesRawSource(source.Channel(ends, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.MaxConcurrentReconciles}).
		Complete(r)
}

// prepare fills in what the fields do not say.
func (r *Reconciler) prepare(ctx context.Context) <-chan event.GenericEvent {
	if r.Host == nil {
		r.Host = LinuxHost{}
	}
	r.machines = &Machines{Root: r.Root, AgentBinary: r.AgentBinary, SharedBundles: r.SharedBundles,
		CgroupParent: r.CgroupParent, Host: r.Host, Log: ctrl.Log.WithName("local")}
	ends := make(chan event.GenericEvent)
	r.watcher = &watcher{ctx: ctx, host: r.Host, ends: ends, watched: map[types.NamespacedName]Process{}}
	return ends
}

// machineOf is the LocalMachine that a Machine stands on.
func machineOf(_ context.Context, o client.Object) []ctrl.Request {
	machine, ok := o.(*clusterv1.Machine)
	if !ok || machine.Spec.InfrastructureRef.Kind != "LocalMachine" || machine.Spec.InfrastructureRef.APIGroup != v1alpha1.GroupVersion.Group {
		return nil
	}
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: machine.Namespace, Name: machine.Spec.InfrastructureRef.Name}}}
}

// machinesOf are the LocalMachines of a Cluster.
func (r *Reconciler) machinesOf(ctx context.Context, o client.Object) []ctrl.Request {
	list := &v1alpha1.LocalMachineList{}
	if err := r.Client.List(ctx, list, client.InNamespace(o.GetNamespace()), client.MatchingLabels{clusterv1.ClusterNameLabel: o.GetName()}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Failed to list the LocalMachines of a Cluster", "cluster", client.ObjectKeyFromObject(o))
		return nil
	}
	requests := make([]ctrl.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// secretOwner is the LocalMachine whose bootstrap Secret it is: they are named alike.
func secretOwner(_ context.Context, o client.Object) []ctrl.Request {
	name := strings.TrimSuffix(o.GetName(), v1alpha1.BootstrapSecretSuffix)
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

func bootstrapSecrets() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			return strings.HasSuffix(e.Object.GetName(), v1alpha1.BootstrapSecretSuffix)
		},
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// machineChanges lets through what the reconciler reads of a Machine.
func machineChanges() predicate.Predicate {
	type read struct {
		secret, node    string
		paused, drained bool
	}
	of := func(o client.Object) read {
		machine, ok := o.(*clusterv1.Machine)
		if !ok {
			return read{}
		}
		_, paused := machine.Annotations[clusterv1.PausedAnnotation]
		seen := read{node: machine.Status.NodeRef.Name, paused: paused, drained: v1alpha1.Drained(machine)}
		if machine.Spec.Bootstrap.DataSecretName != nil {
			seen.secret = *machine.Spec.Bootstrap.DataSecretName
		}
		return seen
	}
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return of(e.ObjectOld) != of(e.ObjectNew) },
	}
}

// clusterChanges lets through what the reconciler reads of a Cluster.
func clusterChanges() predicate.Predicate {
	type read struct{ provisioned, paused bool }
	of := func(o client.Object) read {
		cluster, ok := o.(*clusterv1.Cluster)
		if !ok {
			return read{}
		}
		isTrue := func(b *bool) bool { return b != nil && *b }
		return read{isTrue(cluster.Status.Initialization.InfrastructureProvisioned), isTrue(cluster.Spec.Paused)}
	}
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return of(e.ObjectOld) != of(e.ObjectNew) },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// watcher brings the end of a machine's process to the reconciler.
type watcher struct {
	ctx  context.Context // The manager's: watches outlive the reconcile that began them.
	host Host
	ends chan<- event.GenericEvent

	mu      sync.Mutex
	watched map[types.NamespacedName]Process
}

// watch begins to watch the process, once.
func (w *watcher) watch(key types.NamespacedName, p Process) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[key] == p {
		return nil
	}
	gone, err := w.host.Watch(w.ctx, p)
	if err != nil {
		return err
	}
	w.watched[key] = p
	go func() {
		<-gone
		w.mu.Lock()
		if w.watched[key] == p {
			delete(w.watched, key)
		}
		w.mu.Unlock()
		machine := &v1alpha1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		select {
		case w.ends <- event.GenericEvent{Object: machine}:
		case <-w.ctx.Done():
		}
	}()
	return nil
}
