package planner

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// saysReplaced says how far the machines are that give way to others.
func saysReplaced(r *rollout, result Result, outcome Outcome, _ []*machine) string {
	if !r.isReplacing() {
		return ""
	}
	return r.saysGivesWay(len(r.replaced), result, outcome)
}

// saysGivesWay says how far those are that give way to others, of which so many are there.
func (r *rollout) saysGivesWay(n int, result Result, outcome Outcome) string {
	var parts []string
	if n > 0 {
		parts = append(parts, counted(n, "is to be replaced", "are to be replaced"))
	}
	for _, created := range outcome.Created {
		if created.Class == disruption.Replace {
			parts = append(parts, created.Name+" is made")
		}
	}
	if len(r.replacement.pending) > 0 {
		parts = append(parts, r.replacement.arrivals())
	}
	for _, deleted := range outcome.Deleted {
		if deleted.Class == disruption.Replace {
			parts = append(parts, deleted.Name+" is drained and deleted")
		}
	}
	for _, m := range r.leaving {
		parts = append(parts, m.Name+" is drained and deleted")
	}
	why := strings.Join(sample(parts), ", ") + holding(r.fleet)
	if waits := saysDeferred(r, result, outcome, nil); waits != "" {
		why += "; " + waits
	}
	return why
}

// lacksHost says that there is no Host that a machine could be made of.
func lacksHost(m *machine) bool {
	c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineInfrastructureReadyCondition)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonNoHost
}

// notMade is how many machines were to be made and are not.
func notMade(result Result, outcome Outcome) int {
	n := len(result.Of(Create)) - len(outcome.Created)
	for _, d := range result.Deferred {
		if d.Verb == Create {
			n += d.Count
		}
	}
	return n
}
