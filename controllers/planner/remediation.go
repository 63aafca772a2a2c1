package planner

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// requestPatience is for how long a machine is asked to be remediated before it is. A MachineHealthCheck asks for one machine after
// another, and takes it back as late: what asks for many, as a network that was cut does, shows by then.
const requestPatience = time.Minute

// Answer is what comes of somebody's request to have a machine remediated, as the condition OwnerRemediated of its Machine is to say.
// Cluster API has the owner of a Machine say it there.
type Answer struct {
	// Name is the machine's, and UID its Machine's.
	Name string
	UID  types.UID
	// Condition is what it says; nil to have it say nothing, as nobody asks any more.
	Condition *metav1.Condition
}

// Asked says that somebody asks to have a Machine remediated, as a MachineHealthCheck does, in the words of Cluster API's contract: the
// conditions HealthCheckSucceeded and OwnerRemediated are both False. One that is being deleted is remediated already.
func Asked(m *clusterv1.Machine) bool {
	return m.DeletionTimestamp.IsZero() && meta.IsStatusConditionFalse(m.Status.Conditions, clusterv1.MachineHealthCheckSucceededCondition) &&
		meta.IsStatusConditionFalse(m.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition)
}

// askedSince is since when somebody does; zero for nobody.
func askedSince(m *clusterv1.Machine) (since time.Time) {
	if !Asked(m) {
		return since
	}
	for _, conditionType := range []string{clusterv1.MachineHealthCheckSucceededCondition, clusterv1.MachineOwnerRemediatedCondition} {
		since = later(since, meta.FindStatusCondition(m.Status.Conditions, conditionType).LastTransitionTime.Time)
	}
	return since
}

// takenBack says that somebody asked, and finds the machine healthy now. It is for the owner to note that.
func takenBack(m *clusterv1.Machine) bool {
	return m.DeletionTimestamp.IsZero() && meta.IsStatusConditionTrue(m.Status.Conditions, clusterv1.MachineHealthCheckSucceededCondition) &&
		meta.IsStatusConditionFalse(m.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition)
}

// request is what somebody asks for, with why; empty for nobody.
func request(m *clusterv1.Machine) string {
	if !Asked(m) {
		return ""
	}
	text := "a MachineHealthCheck asks to have it remediated"
	found := strings.TrimPrefix(meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineHealthCheckSucceededCondition).Message, "Health check failed:")
	found = strings.TrimPrefix(strings.Join(strings.Fields(found), " "), "* ")
	return strings.TrimSuffix(text+": "+found, ": ")
}

// answers are those of this plan that are news. What passes within moments is none.
func answers(l *ledger) []Answer {
	var list []Answer
	for _, m := range l.active {
		switch answer := l.answers[m.Name]; {
		case takenBack(m.Machine):
			list = append(list, Answer{Name: m.Name, UID: m.UID})
		case answer != nil && Asked(m.Machine) && !says(m.Machine, answer):
			list = append(list, Answer{Name: m.Name, UID: m.UID, Condition: answer})
		}
	}
	return list
}

// says that a Machine has that condition.
func says(m *clusterv1.Machine, c *metav1.Condition) bool {
	has := meta.FindStatusCondition(m.Status.Conditions, c.Type)
	return has != nil && has.Status == c.Status && has.Reason == c.Reason && has.Message == c.Message
}

// answer notes what comes of a repair. The reasons are those of Cluster API's own owner of Machines.
func (l *ledger) answer(p *Proposal, reason, message string) {
	if p.Cause != Repair || slices.Contains(passing, reason) {
		return
	}
	c := &metav1.Condition{Type: clusterv1.MachineOwnerRemediatedCondition, Status: metav1.ConditionFalse, Reason: clusterv1.MachineSetMachineRemediationDeferredReason}
	c.Message = v1alpha1.BoundMessage("Waits to be replaced: " + message)
	if reason == "" {
		c.Reason, c.Message = clusterv1.MachineSetMachineRemediationMachineDeletingReason, "Machine is deleted, and another one is made"
	}
	l.answers[p.Name] = c
}
