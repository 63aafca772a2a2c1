package sim

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var editRepair = withNumber(edited("how it is repaired", 4, func(w *world, e event) { w.editPool(repairOf(e.number).write) }),
	func(number int) string { return repairOf(number).String() })

// howRepairs is how a user has a pool's machines repaired.
type howRepairs struct {
	// most is for how many unhealthy machines any is replaced, after that many seconds; empty for none ever.
	most  string
	after int32
	// ladder are the rungs.
	ladder []v1alpha1.RepairRung
}

// ladders are those that users think of; the first of the repairs come with the first of them.
var ladders = [][]v1alpha1.RepairRung{
	{v1alpha1.RepairReplace}, {v1alpha1.RepairRestartComponent, v1alpha1.RepairReplace},
	{v1alpha1.RepairRestartComponent, v1alpha1.RepairReboot, v1alpha1.RepairReplace}, {v1alpha1.RepairRestartComponent, v1alpha1.RepairReboot},
}

// repairs are those that users think of.
var repairs = []howRepairs{{}, {most: "40%", after: 120}, {most: "1", after: 180}, {most: "100%", after: 120}, {most: "60%", after: 400}}

func repairOf(number int) howRepairs {
	h := repairs[number%len(repairs)]
	h.ladder = ladders[number/len(repairs)%len(ladders)]
	return h
}

func (h howRepairs) String() string {
	if h.most == "" {
		return "not at all"
	}
	return fmt.Sprintf("by %v after %d seconds, with %s unhealthy at most", h.ladder, h.after, h.most)
}

func (h howRepairs) write(p *v1alpha1.NodePool) {
	p.Spec.Repair = v1alpha1.NodePoolRepair{}
	if h.most != "" {
		p.Spec.Repair = v1alpha1.NodePoolRepair{
			Ladder: h.ladder, MaxUnhealthy: ptr.To(intstr.Parse(h.most)),
			Timeouts: v1alpha1.RepairTimeouts{RestartComponentSeconds: ptr.To(int32(30)), RebootSeconds: ptr.To(int32(120)), ReplaceSeconds: &h.after},
		}
	}
}

// nodeHealth has Cluster API write what the kubelet's Lease tells of a machine's Node.
func (w *world) nodeHealth(b *box) {
	machine := w.machine(b.name)
	if machine == nil || !machine.Status.NodeRef.IsDefined() {
		return
	}
	condition := metav1.Condition{Type: clusterv1.MachineNodeReadyCondition, Status: metav1.ConditionTrue, Reason: clusterv1.MachineNodeReadyReason}
	if b.silent.After(w.now) {
		condition.Status, condition.Reason = metav1.ConditionUnknown, clusterv1.MachineNodeReadyUnknownReason
	}
	if has := meta.FindStatusCondition(machine.Status.Conditions, condition.Type); has == nil || has.Status != condition.Status {
		w.setCondition(b, condition)
	}
}

// isLate has it noticed that a machine has not joined in time.
func (w *world) isLate(b *box) {
	w.after(v1alpha1.DefaultNodeStartupTimeout, func() {
		if w.machine(b.name) != nil && !b.booted {
			b.late = true
			w.refresh(b)
		}
	})
}

// unhealthySince is since when one can tell that a machine is unhealthy, by what the API server has; zero for one that is not.
func unhealthySince(m *clusterv1.Machine) time.Time {
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
	if c == nil || c.Status == metav1.ConditionTrue {
		return time.Time{}
	}
	return c.LastTransitionTime.Time
}

// unheardSince is since when a machine's Node has lapsed; zero for one that has not.
func unheardSince(m *clusterv1.Machine) time.Time {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineNodeReadyCondition)
	if c == nil || c.Status != metav1.ConditionUnknown {
		return time.Time{}
	}
	return c.LastTransitionTime.Time
}
