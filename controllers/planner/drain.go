package planner

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

var (
	// refusedEviction matches a line of Cluster API's Deleting condition about pods whose eviction was refused for a
	// budget's sake (EvictionResult.ConditionMessage in its core/reconcilers/machine/drain).
	refusedEviction = regexp.MustCompile(`^\* Pods? (.+?): (?:cannot evict pod as it would violate the pod's disruption budget\.(.*)|failed to evict Pod, .*(more than one PodDisruptionBudget).*)$`)
	// namedBudget matches what the API server's eviction subresource says about the budget in that line.
	namedBudget = regexp.MustCompile(`The disruption budget (\S+) (.+)$`)
)

// blockedDrain is a drain that waits for a budget.
type blockedDrain struct {
	machine string
	what    string
}

func (b blockedDrain) String() string { return b.machine + ": " + b.what }

// blockedDrains are the drains that budgets block, at most one for each machine.
func blockedDrains(f *fleet) []blockedDrain {
	var blocked []blockedDrain
	for _, m := range f.leaving {
		c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineDeletingCondition)
		if c == nil || c.Status != metav1.ConditionTrue || c.Reason != clusterv1.MachineDeletingDrainingNodeReason {
			continue
		}
		if what := refusal(c.Message); what != "" {
			blocked = append(blocked, blockedDrain{machine: m.Name, what: what})
		}
	}
	return blocked
}

// refusal says which pod may not be evicted and which budget says so; empty when none is refused.
func refusal(message string) string {
	for line := range strings.SplitSeq(message, "\n") {
		match := refusedEviction.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		pods, cause, several := match[1], match[2], match[3]
		if several != "" {
			return fmt.Sprintf("pod %s has more than one PodDisruptionBudget, which evictions do not support: leave one", pods)
		}
		budget := namedBudget.FindStringSubmatch(cause)
		if budget == nil {
			return fmt.Sprintf("pod %s may not be evicted: its PodDisruptionBudget does not allow it", pods)
		}
		namespace, _, _ := strings.Cut(pods, "/")
		return fmt.Sprintf("pod %s may not be evicted: PodDisruptionBudget %s/%s %s", pods, namespace, budget[1], budget[2])
	}
	return ""
}
