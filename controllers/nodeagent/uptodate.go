package nodeagent

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Cluster API's condition UpToDate says whether a Machine is what its owner asks for. For a pool's it is this controller that knows, and
// that has a condition to write anyway: the two are one patch wherever that is possible.

// previousUpToDate is the condition that the Machine has now.
func (o *observed) previousUpToDate() *metav1.Condition {
	return meta.FindStatusCondition(o.machine.Status.Conditions, clusterv1.MachineUpToDateCondition)
}

// upToDate is the condition that the Machine should have: what it has, where it is not known what the pool asks for; nil for none.
func (o *observed) upToDate() *metav1.Condition {
	target := o.target()
	if target == "" {
		return o.previousUpToDate().DeepCopy()
	}
	return o.finish(clusterv1.MachineUpToDateCondition, o.previousUpToDate(), o.compared(target))
}

// target is the revision of the pool's template; empty while that is not known.
func (o *observed) target() string {
	if status := &o.pool.Status; status.Revision == "" && status.Reserved != nil {
		return status.Reserved.Revision // for the first machines of a pool
	}
	return o.pool.Status.Revision
}

// told is what the machine was told last to run.
func (o *observed) told() string {
	if o.agent == nil {
		return v1alpha1.ToldRevision(o.machine)
	}
	return o.agent.Spec.Revision
}

// compared says how a machine stands to the target. One that comes up for the first time with what it was made from is up to date
// before it has proved that: whether it comes up its other conditions say.
func (o *observed) compared(target string) *metav1.Condition {
	switch {
	case o.told() != target:
		return condition(metav1.ConditionFalse, clusterv1.MachineNotUpToDateReason, o.whyOutdated(target))
	case o.agent == nil || o.comingUp():
		return condition(metav1.ConditionTrue, clusterv1.MachineUpToDateReason, "")
	case o.wentBackFrom(target):
		return condition(metav1.ConditionFalse, clusterv1.MachineNotUpToDateReason,
			fmt.Sprintf("It went back from revision %s, its pool's: kubectl drover why %s says why", target, o.machine.Name))
	case o.runs(target):
		return condition(metav1.ConditionTrue, clusterv1.MachineUpToDateReason, "")
	default:
		return condition(metav1.ConditionFalse, clusterv1.MachineUpToDateUpdatingReason,
			fmt.Sprintf("It was told to run revision %s, its pool's, and has yet to prove it", target))
	}
}

// whyOutdated names what the machine is to run, and what comes of it where that is another version of Kubernetes.
func (o *observed) whyOutdated(target string) string {
	version := ""
	if to := o.pool.Spec.Template.Spec.Version; o.agent != nil && o.agent.Spec.Version != to {
		class, _ := disruption.OfVersions(o.agent.Spec.Version, to)
		version = fmt.Sprintf(", with Kubernetes %s instead of %s (%s)", to, o.agent.Spec.Version, class)
	}
	return fmt.Sprintf("It is to run revision %s, its pool's, instead of %s%s: kubectl drover why %s says what that waits for", target, o.told(), version, o.machine.Name)
}

// comingUp says that the machine has run nothing but what it was made from.
func (o *observed) comingUp() bool {
	told, status := o.told(), &o.agent.Status
	return told == o.machine.Labels[v1alpha1.RevisionLabel] && status.PreviousRevision == "" && (status.CurrentRevision == "" || status.CurrentRevision == told)
}

// runs says that the machine runs the target, which has proved itself there. What has, and is only told of other facts of its cluster
// since, runs it still.
func (o *observed) runs(target string) bool {
	if o.agent.Status.CurrentRevision != target {
		return false
	}
	previous := o.previousUpToDate()
	isStill := previous != nil && previous.Status == metav1.ConditionTrue
	return isStill || o.agent.Status.Phase == v1alpha1.PhaseCommitted && (o.agent.Spec.Agent == nil || o.agent.Status.Agent != nil && isOfRelease(o.agent, o.agent.Status.Agent.Digest))
}

// wentBackFrom says that the machine gave the target up, or the agent that it names.
func (o *observed) wentBackFrom(target string) bool {
	status := &o.agent.Status
	byAgent := status.Agent != nil && status.Agent.Failed != nil && isOfRelease(o.agent, status.Agent.Failed.Digest)
	return byAgent || status.Phase == v1alpha1.PhaseRolledBack && status.FailedRevision != nil && status.FailedRevision.Revision == target
}

// isOfRelease says that an agent's digest is one of those that a machine is to have.
func isOfRelease(agent *v1alpha1.NodeAgent, digest string) bool {
	return agent.Spec.Agent != nil && digest != "" && slices.ContainsFunc(agent.Spec.Agent.Artifacts, func(a v1alpha1.Artifact) bool {
		return strings.HasSuffix(a.Image, "@"+digest)
	})
}

// isNews says whether the condition is worth a write of its own. A machine on its normal way to joining has it written with AgentHealthy,
// and that its change has begun costs none either: it was not up to date before, and is not yet. What else it is told while the pool's
// status has yet to say what the last edit asks for would be told again.
func (o *observed) isNews(next *metav1.Condition) bool {
	previous := o.previousUpToDate()
	switch {
	case next == nil || same(previous, next):
		return false
	case previous == nil:
		return o.previous() != nil
	default:
		return previous.Status != next.Status || next.Reason != clusterv1.MachineUpToDateUpdatingReason && o.pool.Status.ObservedGeneration == o.pool.Generation
	}
}
