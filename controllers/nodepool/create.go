package nodepool

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/ownership"
	"github.com/drover-dev/drover/controllers/planner"
)

// createMachine makes the infrastructure machine, then the Machine. Either may exist already: a manager died here.
func (r *Reconciler) createMachine(ctx context.Context, seen *observation, action planner.Action) error {
	infra := infrastructureMachine(seen, action)
	if err := r.createOnce(ctx, seen.Pool, infra); err != nil {
		return err
	}
	machine := newMachine(seen, action, infra)
	if err := r.createOnce(ctx, seen.Pool, machine); err != nil {
		return err
	}
	r.written.Created(seen.Pool, action.Name)
	return nil
}

// foreignError is an object of a name that the pool needs, and that somebody else made.
type foreignError struct{ kind, name string }

func (e *foreignError) Error() string {
	return fmt.Sprintf("%s %s exists and is not this pool's: delete it if nothing uses it", e.kind, e.name)
}

// createOnce creates an object. One of its name that is there already must be the pool's.
func (r *Reconciler) createOnce(ctx context.Context, pool *v1alpha1.NodePool, object client.Object) error {
	kind, key := kindOf(object), client.ObjectKeyFromObject(object)
	err := r.Client.Create(ctx, object)
	if err == nil {
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create %s %s: %w", kind, key.Name, err)
	}
	if err := r.APIReader.Get(ctx, key, object); err != nil {
		return fmt.Errorf("read %s %s: %w", kind, key.Name, err)
	}
	if object.GetLabels()[v1alpha1.PoolUIDLabel] != string(pool.UID) {
		return &foreignError{kind: kind, name: key.Name}
	}
	if _, isMachine := object.(*clusterv1.Machine); !isMachine && !object.GetDeletionTimestamp().IsZero() {
		return fmt.Errorf("%s %s is being deleted: it is made again when it is gone", kind, key.Name)
	}
	return nil
}

func kindOf(object client.Object) string {
	if u, ok := object.(*unstructured.Unstructured); ok {
		return u.GetKind()
	}
	return "Machine"
}

// infrastructureMachine clones the template as Cluster API's external.CreateFromTemplate does. The pool owns it until
// the Machine takes over as its controller.
func infrastructureMachine(seen *observation, action planner.Action) *unstructured.Unstructured {
	content, _, _ := unstructured.NestedMap(seen.template.Object, "spec", "template")
	if content == nil {
		content = map[string]any{}
	}
	infra := &unstructured.Unstructured{Object: content}
	metadata := infra.GetLabels()
	if metadata == nil {
		metadata = map[string]string{}
	}
	maps.Copy(metadata, machineLabels(seen, action))
	annotations := infra.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	templateKind := seen.template.GroupVersionKind()
	annotations[clusterv1.TemplateClonedFromNameAnnotation] = seen.template.GetName()
	annotations[clusterv1.TemplateClonedFromGroupKindAnnotation] = templateKind.GroupKind().String()

	delete(infra.Object, "metadata")
	infra.SetGroupVersionKind(templateKind.GroupVersion().WithKind(strings.TrimSuffix(templateKind.Kind, clusterv1.TemplateSuffix)))
	infra.SetNamespace(seen.Pool.Namespace)
	infra.SetName(action.Name)
	infra.SetLabels(metadata)
	infra.SetAnnotations(annotations)
	infra.SetOwnerReferences([]metav1.OwnerReference{ownership.Reference(seen.Pool)})
	return infra
}

// newMachine is the Machine. It is complete from the start (Cluster API's own finalizer and owner included), so that
// Cluster API has nothing to add: each write saved here is saved for every machine.
func newMachine(seen *observation, action planner.Action, infra *unstructured.Unstructured) *clusterv1.Machine {
	return &clusterv1.Machine{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       seen.Pool.Namespace,
			Name:            action.Name,
			Labels:          machineLabels(seen, action),
			Finalizers:      []string{clusterv1.MachineFinalizer, v1alpha1.OrdinalFinalizer},
			OwnerReferences: owners(seen),
		},
		Spec: clusterv1.MachineSpec{
			ClusterName: seen.cluster.Name,
			Version:     seen.versionOf(action.Revision),
			ProviderID:  providerID(infra),
			Bootstrap:   clusterv1.Bootstrap{DataSecretName: ptr.To(action.Name + v1alpha1.BootstrapSecretSuffix)},
			InfrastructureRef: clusterv1.ContractVersionedObjectReference{
				APIGroup: infra.GroupVersionKind().Group, Kind: infra.GetKind(), Name: infra.GetName(),
			},
			ReadinessGates: []clusterv1.MachineReadinessGate{{ConditionType: v1alpha1.MachineAgentHealthyCondition}},
			Deletion:       seen.Pool.MachineDeletion(),
		},
	}
}

// providerID is that of a machine whose provider names it by rule. Known from the start, it spares each machine the
// write that adds it and two more for the new generation.
func providerID(infra *unstructured.Unstructured) string {
	prefix := v1alpha1.ProviderIDPrefix(infra.GroupVersionKind().GroupKind())
	if prefix == "" {
		return ""
	}
	return prefix + infra.GetNamespace() + "/" + infra.GetName()
}

func poolLabels(pool *v1alpha1.NodePool, revision string) map[string]string {
	return map[string]string{
		v1alpha1.PoolLabel:     pool.Name,
		v1alpha1.PoolUIDLabel:  string(pool.UID),
		v1alpha1.RevisionLabel: revision,
	}
}

func machineLabels(seen *observation, action planner.Action) map[string]string {
	labels := poolLabels(seen.Pool, action.Revision)
	labels[v1alpha1.OrdinalLabel] = strconv.FormatInt(action.Ordinal, 10)
	labels[clusterv1.ClusterNameLabel] = v1alpha1.AdoptedClusterName
	labels[v1alpha1.WatchFilterLabel] = v1alpha1.WatchFilterValue
	return labels
}

// owners are the pool and the Cluster. The Cluster stays when the pool is deleted in the foreground, so that the garbage
// collector takes the reference to the pool away and leaves the object to our finalizer.
func owners(seen *observation) []metav1.OwnerReference {
	return append([]metav1.OwnerReference{ownership.Reference(seen.Pool)}, clusterOwner(seen)...)
}

func clusterOwner(seen *observation) []metav1.OwnerReference {
	if seen.cluster == nil {
		return nil
	}
	return []metav1.OwnerReference{{
		APIVersion: clusterv1.GroupVersion.String(), Kind: "Cluster", Name: seen.cluster.Name, UID: seen.cluster.UID,
	}}
}
