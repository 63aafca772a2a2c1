package planner

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/evictions"
)

// maxComplaint is how much of what holds a machine up is quoted on its pool: a drain names each of its pods.
const maxComplaint = 512

// complaints are asked in this order, the one nearest to a cause first. The first that says something is quoted.
var complaints = []func(*clusterv1.Machine) string{infrastructureGone, unwell, infrastructureFailed, nodeUnwell, held}

// firstComplaint is what is wrong with the first machine, by name, of which something is known to be.
func firstComplaint(machines []*machine) string {
	first := ""
	var message string
	for _, m := range machines {
		if c := Complaint(m.Machine); c != "" && (first == "" || m.Name < first) {
			first, message = m.Name, c
		}
	}
	if first == "" {
		return ""
	}
	return first + ": " + message
}

// holding is what holds up the first machine that is to go, as the end of a sentence.
func holding(f *fleet) string {
	if c := firstComplaint(f.leaving); c != "" {
		return "; " + c
	}
	return ""
}

// Complaint is why a machine is not ready, or not gone, as far as its conditions tell; empty when they tell nothing.
func Complaint(m *clusterv1.Machine) string {
	message := request(m)
	for _, ask := range complaints {
		if cause := ask(m); cause != "" {
			message = strings.TrimSuffix(cause+"; "+message, "; ")
			break
		}
	}
	return v1alpha1.Shorten(strings.Join(strings.Fields(message), " "), maxComplaint)
}

func infrastructureGone(m *clusterv1.Machine) string {
	if m.DeletionTimestamp.IsZero() && InfrastructureDeleted(m.Status.Conditions) {
		return fmt.Sprintf("its %s was deleted: delete the Machine to have it replaced", m.Spec.InfrastructureRef.Kind)
	}
	return ""
}

// unwell is what the agent says, or that nobody has heard of it, of which the provider may know the cause. A machine that
// is to go need not be well.
func unwell(m *clusterv1.Machine) string {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
	if c == nil || c.Status == metav1.ConditionTrue || !m.DeletionTimestamp.IsZero() {
		return ""
	}
	if cause := infrastructureFailed(m); cause != "" && c.Reason == v1alpha1.ReasonNotReported {
		return cause
	}
	return c.Message
}

// infrastructureFailed is what the provider says. With the reason NotReady it is Cluster API that speaks, for a provider
// that has not said anything.
func infrastructureFailed(m *clusterv1.Machine) string {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineInfrastructureReadyCondition)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason == clusterv1.MachineInfrastructureNotReadyReason || !m.DeletionTimestamp.IsZero() {
		return ""
	}
	return c.Message
}

// nodeUnwell is what is wrong with the Node of a machine whose agent finds nothing wrong. Before the agent does, it is
// not worth a write: a Node is not ready at first.
func nodeUnwell(m *clusterv1.Machine) string {
	if !m.DeletionTimestamp.IsZero() || !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.MachineAgentHealthyCondition) {
		return ""
	}
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineNodeHealthyCondition)
	if c == nil || c.Status == metav1.ConditionTrue {
		return ""
	}
	return c.Message
}

// held is what a deletion waits for that may take somebody's help: hooks, pods and volumes. Of evictions that were refused,
// DrainBlocked speaks.
func held(m *clusterv1.Machine) string {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineDeletingCondition)
	if c == nil || c.Status != metav1.ConditionTrue || len(evictions.Read(c.Message).Refusals) > 0 {
		return ""
	}
	switch c.Reason {
	case clusterv1.MachineDeletingWaitingForPreDrainHookReason, clusterv1.MachineDeletingDrainingNodeReason,
		clusterv1.MachineDeletingWaitingForVolumeDetachReason, clusterv1.MachineDeletingWaitingForPreTerminateHookReason:
		return c.Message
	case clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason:
		return infrastructureStays(m)
	}
	return ""
}

// infrastructureStays is what the provider says of a machine that it cannot remove. While it is at it there is nothing to say.
func infrastructureStays(m *clusterv1.Machine) string {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineInfrastructureReadyCondition)
	if c == nil || c.Status != metav1.ConditionFalse || slices.Contains([]string{
		clusterv1.MachineInfrastructureNotReadyReason, v1alpha1.ReasonCleaning, v1alpha1.ReasonDeleting,
	}, c.Reason) {
		return ""
	}
	return c.Message
}

// InfrastructureDeleted says that somebody deleted what a Machine runs on. Cluster API never makes it again.
func InfrastructureDeleted(conditions []metav1.Condition) bool {
	c := meta.FindStatusCondition(conditions, clusterv1.MachineInfrastructureReadyCondition)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == clusterv1.MachineInfrastructureDeletedReason
}
