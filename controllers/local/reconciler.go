package local

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// patience is how long a machine may wait for others before its status says so: most waits are shorter, and
	// each status is a write.
	patience = 10 * time.Second
	// problemRetry is how soon a machine that a user must help is tried again.
	problemRetry = 15 * time.Second
	// bootReportInterval is how often a new machine without a Node is asked what it is doing: a file is read. One that
	// takes its time is asked less and less often.
	bootReportInterval    = 3 * time.Second
	maxBootReportInterval = 30 * time.Second
	// ownerGrace is how long after a LocalMachine its Machine may be deleted, and be drained nevertheless.
	ownerGrace = 15 * time.Second
	// drainRecheck is how often a drain is looked at without an event.
	drainRecheck = 30 * time.Second
	// reconcileTimeout bounds one machine's reconcile, its removal included.
	reconcileTimeout = 90 * time.Second
)

// Reconciler makes each LocalMachine real.
type Reconciler struct {
	// Client reads through the manager's cache and writes.
	Client client.Client
	// APIReader reads live: bootstrap Secrets are not cached.
	APIReader client.Reader
	// Recorder takes the events.
	Recorder events.EventRecorder
	// Root is the directory of all machines: --local-root.
	Root string
	// AgentBinary is the drover-agent put onto machines.
	AgentBinary string
	// SharedBundles is the directory of unpacked bundles that machines see read-only. It is made if need be; empty
	// is none.
	SharedBundles string
	// CgroupParent is the cgroup that all machines' cgroups are in. Default: DefaultCgroupParent.
	CgroupParent string
	// Host is what machines are made of. Default: this one.
	Host Host
	// MaxConcurrentReconciles is how many machines are worked on at once. Default: 10.
	MaxConcurrentReconciles int

	machines *Machines
	watcher  *watcher
	written  written
}

// +kubebuilder:rbac:groups=fleet.drover.dev,resources=localmachines,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=localmachines/status,verbs=patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=localmachines/finalizers,verbs=update
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=clusters;machines,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	lm := &v1alpha1.LocalMachine{}
	if err := r.Client.Get(ctx, req.NamespacedName, lm); err != nil {
		r.written.forget(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if r.written.isOlder(lm) {
		// The cache has yet to see our last write, whose event brings us back.
		return ctrl.Result{}, nil
	}
	owners, err := r.owners(ctx, lm)
	if err != nil {
		return ctrl.Result{}, err
	}
	switch {
	case owners.paused(lm):
		return ctrl.Result{}, nil
	case !lm.DeletionTimestamp.IsZero():
		terminating, err := r.terminating(ctx, lm, owners.machine)
		if err != nil {
			return ctrl.Result{}, err
		}
		if wait := awaitDrain(lm, owners.machine, terminating, time.Now()); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
		return ctrl.Result{}, r.remove(ctx, lm)
	}
	return r.provision(ctx, lm, owners)
}

// awaitDrain is how long a machine that is being deleted stays for its pods, zero for no longer. Who deletes a whole
// namespace deletes its LocalMachines beside the Machines, one kind after the other in any order. Outside of such a
// namespace, a Machine that is not deleted in time is one whose LocalMachine was deleted by hand.
func awaitDrain(lm *v1alpha1.LocalMachine, machine *clusterv1.Machine, terminating bool, now time.Time) time.Duration {
	switch {
	case machine == nil || v1alpha1.Drained(machine):
		return 0
	case terminating || !machine.DeletionTimestamp.IsZero():
		return drainRecheck
	}
	return max(0, lm.DeletionTimestamp.Add(ownerGrace).Sub(now))
}

// terminating says whether the namespace is being deleted, where that matters: its Machine is about to be, too.
func (r *Reconciler) terminating(ctx context.Context, lm *v1alpha1.LocalMachine, machine *clusterv1.Machine) (bool, error) {
	if machine == nil || !machine.DeletionTimestamp.IsZero() {
		return false, nil
	}
	namespace := &corev1.Namespace{}
	if err := r.APIReader.Get(ctx, client.ObjectKey{Name: lm.Namespace}, namespace); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return !namespace.DeletionTimestamp.IsZero(), nil
}

// remove takes the machine apart, then lets go of the object.
func (r *Reconciler) remove(ctx context.Context, lm *v1alpha1.LocalMachine) error {
	if !controllerutil.ContainsFinalizer(lm, v1alpha1.LocalMachineFinalizer) {
		return nil
	}
	if err := r.machines.Remove(ctx, client.ObjectKeyFromObject(lm)); err != nil {
		r.event(lm, corev1.EventTypeWarning, v1alpha1.ReasonDeleting, err.Error())
		return err
	}
	return r.patch(ctx, lm, func() { controllerutil.RemoveFinalizer(lm, v1alpha1.LocalMachineFinalizer) })
}

// provision brings the machine to run and says how it is.
func (r *Reconciler) provision(ctx context.Context, lm *v1alpha1.LocalMachine, owners owners) (ctrl.Result, error) {
	want := r.wanted(lm)
	made := lm.Status.Initialization.Provisioned != nil && *lm.Status.Initialization.Provisioned
	if made && !r.machines.Exists(want.Key) {
		return ctrl.Result{}, r.report(ctx, lm, observed{reason: v1alpha1.ReasonStopped,
			message: "The machine's directory is gone from the host, and its identity with it: delete its Machine to have it replaced."})
	}
	if !made {
		document, wait, err := r.bootstrap(ctx, lm, owners)
		if err != nil {
			return r.failed(ctx, lm, err)
		}
		if wait != nil {
			return r.wait(ctx, lm, *wait)
		}
		want.Bootstrap = document
	}
	if err := r.claim(ctx, lm); err != nil {
		return ctrl.Result{}, err
	}
	state, err := r.machines.Ensure(ctx, want)
	if err != nil {
		return r.failed(ctx, lm, err)
	}
	if !state.Running {
		return ctrl.Result{RequeueAfter: state.RetryAfter}, r.report(ctx, lm, observed{reason: v1alpha1.ReasonStopped,
			message: "The machine keeps ending by itself, so its next start is put off: console.log in its directory on the host may say why."})
	}
	if err := r.watcher.watch(want.Key, state.Process); err != nil {
		return ctrl.Result{}, err
	}
	if lm.Status.BootID != "" && lm.Status.BootID != state.BootID {
		r.event(lm, corev1.EventTypeNormal, v1alpha1.ReasonRebooted, "The machine was started again")
	}
	joined := owners.machine != nil && owners.machine.Status.NodeRef.Name != ""
	seen := observed{reason: v1alpha1.ReasonProvisioned, state: &state}
	if joined {
		return ctrl.Result{}, r.report(ctx, lm, seen)
	}
	if problem := r.bootProblem(state.Process); problem != "" {
		seen.reason, seen.message = v1alpha1.ReasonBootFailed, problem
	}
	return ctrl.Result{RequeueAfter: askAgain(time.Since(lm.CreationTimestamp.Time))}, r.report(ctx, lm, seen)
}

// askAgain is how soon a machine of that age that has not joined is asked again.
func askAgain(age time.Duration) time.Duration {
	return min(max(bootReportInterval, age/10), maxBootReportInterval)
}

// claim marks the object as having something on the host, before there is anything, and gives it its identity.
func (r *Reconciler) claim(ctx context.Context, lm *v1alpha1.LocalMachine) error {
	id := providerID(client.ObjectKeyFromObject(lm))
	if lm.Spec.ProviderID == id && controllerutil.ContainsFinalizer(lm, v1alpha1.LocalMachineFinalizer) {
		return nil
	}
	return r.patch(ctx, lm, func() {
		controllerutil.AddFinalizer(lm, v1alpha1.LocalMachineFinalizer)
		lm.Spec.ProviderID = id
	})
}

func providerID(key types.NamespacedName) string {
	return v1alpha1.LocalProviderIDPrefix + key.Namespace + "/" + key.Name
}

// failed reports an error. What only a user can mend is tried again now and then, the rest with the queue's backoff.
func (r *Reconciler) failed(ctx context.Context, lm *v1alpha1.LocalMachine, err error) (ctrl.Result, error) {
	if ctx.Err() != nil {
		return ctrl.Result{}, err
	}
	var problem *Problem
	if errors.As(err, &problem) {
		return ctrl.Result{RequeueAfter: problemRetry}, r.report(ctx, lm, observed{reason: problem.Reason, message: problem.Message})
	}
	return ctrl.Result{}, errors.Join(err, r.report(ctx, lm, observed{reason: v1alpha1.ReasonProvisionFailed, message: err.Error()}))
}

// wait reports what the machine waits for, once that takes long. An event ends the wait.
func (r *Reconciler) wait(ctx context.Context, lm *v1alpha1.LocalMachine, what observed) (ctrl.Result, error) {
	if age := time.Since(lm.CreationTimestamp.Time); age < patience {
		return ctrl.Result{RequeueAfter: patience - age}, nil
	}
	return ctrl.Result{RequeueAfter: patience}, r.report(ctx, lm, what)
}

func (r *Reconciler) event(lm *v1alpha1.LocalMachine, kind, reason, message string) {
	r.Recorder.Eventf(lm, nil, kind, reason, "Provision", "%s", v1alpha1.BoundMessage(message))
}

// owners are the objects a LocalMachine belongs to. Either may be missing.
type owners struct {
	machine *clusterv1.Machine
	cluster *clusterv1.Cluster
}

func (o owners) paused(lm *v1alpha1.LocalMachine) bool {
	if _, paused := lm.Annotations[clusterv1.PausedAnnotation]; paused {
		return true
	}
	if o.machine != nil {
		if _, paused := o.machine.Annotations[clusterv1.PausedAnnotation]; paused {
			return true
		}
	}
	return o.cluster != nil && o.cluster.Spec.Paused != nil && *o.cluster.Spec.Paused
}

func (r *Reconciler) owners(ctx context.Context, lm *v1alpha1.LocalMachine) (owners, error) {
	var o owners
	cluster := lm.Labels[clusterv1.ClusterNameLabel]
	for _, ref := range lm.OwnerReferences {
		if ref.Kind != "Machine" || !inClusterAPI(ref.APIVersion) {
			continue
		}
		machine := &clusterv1.Machine{}
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: lm.Namespace, Name: ref.Name}, machine)
		if client.IgnoreNotFound(err) != nil {
			return o, err
		}
		if err == nil && machine.UID == ref.UID {
			o.machine, cluster = machine, machine.Spec.ClusterName
		}
	}
	if cluster == "" {
		return o, nil
	}
	found := &clusterv1.Cluster{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: lm.Namespace, Name: cluster}, found)
	if err == nil {
		o.cluster = found
	}
	return o, client.IgnoreNotFound(err)
}
