package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// parts are the conditions of a node's parts, each with a probe. They are listed in this order, always, after the sum of
// them, which is Ready.
var parts = []string{
	v1alpha1.RuntimeHealthyCondition,
	v1alpha1.KubeletHealthyCondition,
	v1alpha1.ProxyHealthyCondition,
	v1alpha1.NetworkHealthyCondition,
	v1alpha1.DiskHealthyCondition,
	v1alpha1.ClockSynchronizedCondition,
}

// Settled says whether every part of the node was looked at and none is still starting.
func Settled(probed []metav1.Condition) bool {
	for _, name := range parts {
		if c := apimeta.FindStatusCondition(probed, name); c == nil || c.Status == metav1.ConditionUnknown || starts(c) {
			return false
		}
	}
	return true
}

// starts says that a part is on its way, which is no failure.
func starts(c *metav1.Condition) bool {
	return c.Reason == v1alpha1.ReasonStarting || c.Reason == v1alpha1.ReasonWaitingForDependency
}

// conditions are all of a node; the remark is for whoever reads the sum of them.
func conditions(last []metav1.Condition, o *Observed, remark string) []metav1.Condition {
	all := make([]metav1.Condition, 0, len(parts)+1)
	for _, name := range parts {
		all = append(all, part(name, o))
	}
	sum := ready(all, o.Obstacle)
	if remark != "" {
		sum.Message += "; " + remark
	}
	all = append([]metav1.Condition{sum}, all...)
	for i := range all {
		all[i].Message = v1alpha1.BoundMessage(all[i].Message)
		all[i].ObservedGeneration = o.Generation
		all[i].LastTransitionTime = transition(last, &all[i], o.Now)
	}
	return all
}

// transition is when a condition got the status it has.
func transition(last []metav1.Condition, c *metav1.Condition, now time.Time) metav1.Time {
	if was := apimeta.FindStatusCondition(last, c.Type); was != nil && was.Status == c.Status {
		return was.LastTransitionTime
	}
	return metav1.NewTime(now)
}

// part is the condition of one part of the node: what its probe says or, before there is one, why nothing is known.
func part(name string, o *Observed) metav1.Condition {
	if c := apimeta.FindStatusCondition(o.Probed, name); c != nil {
		return *c
	}
	c := metav1.Condition{Type: name, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonStarting, Message: "Not probed yet"}
	if o.Obstacle != nil && !o.Obstacle.Running {
		c.Reason, c.Message = o.Obstacle.Reason, o.Obstacle.Message
	}
	return c
}

// ready sums the parts up; what stands in the way of starting them says more than they do.
func ready(all []metav1.Condition, obstacle *generation.Obstacle) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionFalse}
	if obstacle != nil && !obstacle.Running {
		c.Reason, c.Message = obstacle.Reason, obstacle.Message
		return c
	}
	var bad []string
	starting, exhausted := true, false
	for i := range all {
		if all[i].Status == metav1.ConditionTrue {
			continue
		}
		starting = starting && starts(&all[i])
		text := fmt.Sprintf("%s: %s", all[i].Type, all[i].Message)
		if all[i].Reason == v1alpha1.ReasonRepairExhausted { // first, as whoever quotes it cuts the end off
			bad, exhausted = slices.Insert(bad, 0, text), true
			continue
		}
		bad = append(bad, text)
	}
	c.Reason, c.Message = v1alpha1.ReasonComponentsUnhealthy, strings.Join(bad, "; ")
	switch {
	case len(bad) == 0:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonHealthy, "Every component is healthy"
	case exhausted:
		c.Reason = v1alpha1.ReasonRepairExhausted
	case starting:
		c.Reason = v1alpha1.ReasonStarting
	}
	if obstacle != nil {
		c.Message += "; the state before goes on, because the one wanted could not be installed: " + obstacle.Message
	}
	return c
}
