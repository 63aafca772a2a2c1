package infra

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// ownerGrace is how long after an infrastructure machine its Machine may be deleted, and be drained nevertheless.
	ownerGrace = 15 * time.Second
	// drainRecheck is how often a drain is looked at without an event.
	drainRecheck = 30 * time.Second
)

// owners are the objects an infrastructure machine belongs to. Either may be missing.
type owners struct {
	machine *clusterv1.Machine
	cluster *clusterv1.Cluster
}

// joined says whether the Machine has its Node.
func (o owners) joined() bool {
	return o.machine != nil && o.machine.Status.NodeRef.Name != ""
}

func (o owners) paused(m client.Object) bool {
	if isPaused(m) || o.machine != nil && isPaused(o.machine) {
		return true
	}
	return o.cluster != nil && isTrue(o.cluster.Spec.Paused)
}

func isPaused(o client.Object) bool {
	_, paused := o.GetAnnotations()[clusterv1.PausedAnnotation]
	return paused
}

func (r *Reconciler[M]) owners(ctx context.Context, m M) (owners, error) {
	var o owners
	cluster := m.GetLabels()[clusterv1.ClusterNameLabel]
	for _, ref := range m.GetOwnerReferences() {
		if ref.Kind != "Machine" || !inClusterAPI(ref.APIVersion) {
			continue
		}
		machine := &clusterv1.Machine{}
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: m.GetNamespace(), Name: ref.Name}, machine)
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
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: m.GetNamespace(), Name: cluster}, found)
	if err == nil {
		o.cluster = found
	}
	return o, client.IgnoreNotFound(err)
}

func inClusterAPI(apiVersion string) bool {
	group, _, _ := strings.Cut(apiVersion, "/")
	return group == clusterv1.GroupVersion.Group
}

// awaitDrain is how long a machine that is being deleted stays for its pods, zero for no longer. Who deletes a whole
// namespace deletes its infrastructure machines beside the Machines, one kind after the other in any order. Outside of
// such a namespace, a Machine that is not deleted in the time that its infrastructure machine has waited is one whose
// infrastructure machine was deleted by hand.
func awaitDrain(machine *clusterv1.Machine, terminating bool, waited time.Duration) time.Duration {
	switch {
	case machine == nil || v1alpha1.Drained(machine):
		return 0
	case terminating || !machine.DeletionTimestamp.IsZero():
		return drainRecheck
	}
	return max(0, ownerGrace-waited)
}

// terminating says whether the namespace is being deleted, where that matters: its Machine is about to be, too.
func (r *Reconciler[M]) terminating(ctx context.Context, m M, machine *clusterv1.Machine) (bool, error) {
	if machine == nil || !machine.DeletionTimestamp.IsZero() {
		return false, nil
	}
	namespace := &corev1.Namespace{}
	if err := r.APIReader.Get(ctx, client.ObjectKey{Name: m.GetNamespace()}, namespace); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return !namespace.DeletionTimestamp.IsZero(), nil
}

func isTrue(b *bool) bool { return b != nil && *b }
