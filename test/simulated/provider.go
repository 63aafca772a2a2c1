package simulated

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/queueing"
)

const (
	concurrency  = 50
	agentVersion = "simulated"
)

// Provider makes a ready Node of each SimulatedMachine that a Machine owns. It plays the agent too: a NodeAgent of the
// machine's name is reported Ready, and to run at once whatever it is told to.
type Provider struct {
	// Client reads from the cache of the provider's own manager and writes. Give it a manager apart from the one under
	// test, so that its writes are not counted as that one's.
	Client client.Client

	// made has the UIDs of the machines that were provisioned, for when the cache has not seen it yet.
	made sync.Map
}

// SetupWithManager registers the provider.
func (p *Provider) SetupWithManager(mgr manager.Manager) error {
	machine := &unstructured.Unstructured{}
	machine.SetGroupVersionKind(MachineKind)
	options := queueing.Options(concurrency)
	if err := ctrl.NewControllerManagedBy(mgr).Named("simulated-machine").For(machine).
		Watches(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(sameName)).
		WithOptions(options).Complete(reconcile.Func(p.provision)); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("simulated-agent").For(&v1alpha1.NodeAgent{}).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(sameName)).
		WithOptions(options).Complete(reconcile.Func(p.report))
}

func sameName(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(object)}}
}

func (p *Provider) provision(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	infrastructure := NewMachine(request.Namespace, request.Name)
	if err := p.Client.Get(ctx, request.NamespacedName, infrastructure); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	done, _, _ := unstructured.NestedBool(infrastructure.Object, "status", "initialization", "provisioned")
	if done || metav1.GetControllerOf(infrastructure) == nil || infrastructure.GetDeletionTimestamp() != nil {
		return reconcile.Result{}, nil
	}
	if _, made := p.made.Load(infrastructure.GetUID()); made {
		return reconcile.Result{}, nil
	}
	machine := &clusterv1.Machine{}
	if err := p.Client.Get(ctx, request.NamespacedName, machine); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if machine.Spec.Bootstrap.DataSecretName == nil {
		return reconcile.Result{}, nil
	}
	if err := p.createNode(ctx, machine); err != nil {
		return reconcile.Result{}, fmt.Errorf("make the Node of %s: %w", request, err)
	}
	if err := p.markProvisioned(ctx, infrastructure); err != nil {
		return reconcile.Result{}, err
	}
	p.made.Store(infrastructure.GetUID(), true)
	return reconcile.Result{}, nil
}

func (p *Provider) createNode(ctx context.Context, machine *clusterv1.Machine) error {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: machine.Name},
		Spec:       corev1.NodeSpec{ProviderID: ProviderIDPrefix + machine.Name},
	}
	if err := p.Client.Create(ctx, node); client.IgnoreAlreadyExists(err) != nil {
		return err
	}
	// A patch without a lock: others write to the Node from the moment it exists.
	before := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: machine.Name}}
	after := before.DeepCopy()
	now := metav1.Now()
	for kind, status := range map[corev1.NodeConditionType]corev1.ConditionStatus{
		corev1.NodeReady: corev1.ConditionTrue, corev1.NodeMemoryPressure: corev1.ConditionFalse,
		corev1.NodeDiskPressure: corev1.ConditionFalse, corev1.NodePIDPressure: corev1.ConditionFalse,
	} {
		after.Status.Conditions = append(after.Status.Conditions, corev1.NodeCondition{
			Type: kind, Status: status, Reason: "Simulated", LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	after.Status.NodeInfo.KubeletVersion = machine.Spec.Version
	return p.Client.Status().Patch(ctx, after, client.StrategicMergeFrom(before))
}

func (p *Provider) markProvisioned(ctx context.Context, machine *unstructured.Unstructured) error {
	spec := fmt.Appendf(nil, `{"spec":{"providerID":%q}}`, ProviderIDPrefix+machine.GetName())
	if err := p.Client.Patch(ctx, machine, client.RawPatch(types.MergePatchType, spec)); err != nil {
		return client.IgnoreNotFound(err)
	}
	status := client.RawPatch(types.MergePatchType, []byte(`{"status":{"initialization":{"provisioned":true}}}`))
	return client.IgnoreNotFound(p.Client.Status().Patch(ctx, machine, status))
}

func (p *Provider) report(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	agent := &v1alpha1.NodeAgent{}
	if err := p.Client.Get(ctx, request.NamespacedName, agent); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if ready, err := p.nodeReady(ctx, request.Name); err != nil || !ready {
		return reconcile.Result{}, err
	}
	before := agent.DeepCopy()
	if was := agent.Status.CurrentRevision; was != agent.Spec.Revision {
		agent.Status.CurrentRevision, agent.Status.PreviousRevision = agent.Spec.Revision, was
	}
	agent.Status.ObservedGeneration, agent.Status.Phase = agent.Generation, v1alpha1.PhaseCommitted
	agent.Status.AgentVersion = agentVersion
	if !meta.SetStatusCondition(&agent.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ReadyCondition, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonHealthy,
		Message: "simulated", ObservedGeneration: agent.Generation,
	}) {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, client.IgnoreNotFound(p.Client.Status().Patch(ctx, agent, client.MergeFrom(before)))
}

// nodeReady says whether the machine's Node is there and Ready, which is when an agent is.
func (p *Provider) nodeReady(ctx context.Context, name string) (bool, error) {
	node := &corev1.Node{}
	if err := p.Client.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return true, nil
		}
	}
	return false, nil
}
