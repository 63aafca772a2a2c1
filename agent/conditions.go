package agent

import (
	"fmt"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// conditionOrder is how the conditions are listed, always.
var conditionOrder = []string{
	v1alpha1.ReadyCondition,
	v1alpha1.RuntimeHealthyCondition,
	v1alpha1.KubeletHealthyCondition,
	v1alpha1.ProxyHealthyCondition,
	v1alpha1.NetworkHealthyCondition,
	v1alpha1.DiskHealthyCondition,
	v1alpha1.ClockSynchronizedCondition,
}

// componentOrder is how the components are listed, always.
var componentOrder = []string{v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy, v1alpha1.ComponentNetwork}

// obstacle is why the desired state is not installed: a preflight that failed or a bundle that cannot be fetched.
type obstacle struct {
	reason, message string
	// running says that an earlier state is installed and goes on.
	running bool
}

// assemble makes all conditions of a node from the last ones, what the probes say and what stands in the way; a remark
// is for whoever reads the sum of them. It keeps the transition time of a condition whose status is what it was.
func assemble(last, probed []metav1.Condition, generation int64, hindrance *obstacle, remark string) []metav1.Condition {
	conditions := make([]metav1.Condition, 0, len(conditionOrder))
	conditions = append(conditions, last...)
	for _, name := range conditionOrder[1:] {
		c := metav1.Condition{Type: name, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonStarting, Message: "Not probed yet"}
		if hindrance != nil && !hindrance.running {
			c.Reason, c.Message = hindrance.reason, hindrance.message
		}
		if p := apimeta.FindStatusCondition(probed, name); p != nil {
			c = *p
		}
		set(&conditions, c, generation)
	}
	sum := ready(conditions, hindrance)
	if remark != "" {
		sum.Message += "; " + remark
	}
	set(&conditions, sum, generation)
	return ordered(conditions)
}

func set(conditions *[]metav1.Condition, c metav1.Condition, generation int64) {
	c.Message = v1alpha1.BoundMessage(c.Message)
	c.ObservedGeneration = generation
	c.LastTransitionTime = metav1.Time{} // the helper sets it when the status changes
	apimeta.SetStatusCondition(conditions, c)
}

// ready sums the others up; what stands in the way of starting them says more than they do.
func ready(others []metav1.Condition, hindrance *obstacle) metav1.Condition {
	if hindrance != nil && !hindrance.running {
		return metav1.Condition{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionFalse, Reason: hindrance.reason, Message: hindrance.message}
	}
	var bad []string
	starting := true
	for _, name := range conditionOrder[1:] {
		c := apimeta.FindStatusCondition(others, name)
		if c == nil || c.Status == metav1.ConditionTrue {
			continue
		}
		starting = starting && (c.Reason == v1alpha1.ReasonStarting || c.Reason == v1alpha1.ReasonWaitingForDependency)
		bad = append(bad, fmt.Sprintf("%s: %s", c.Type, c.Message))
	}
	c := metav1.Condition{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonComponentsUnhealthy, Message: strings.Join(bad, "; ")}
	switch {
	case len(bad) == 0:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonHealthy, "Every component is healthy"
	case starting:
		c.Reason = v1alpha1.ReasonStarting
	}
	if hindrance != nil {
		c.Message += "; the state before goes on, because the one wanted could not be installed: " + hindrance.message
	}
	return c
}

func ordered(conditions []metav1.Condition) []metav1.Condition {
	out := make([]metav1.Condition, 0, len(conditionOrder))
	for _, name := range conditionOrder {
		if c := apimeta.FindStatusCondition(conditions, name); c != nil {
			out = append(out, *c)
		}
	}
	return out
}

// components orders what the supervisor and the network say; one that neither knows waits, or is off.
func components(found []v1alpha1.ComponentStatus, proxy v1alpha1.ProxyMode) []v1alpha1.ComponentStatus {
	out := make([]v1alpha1.ComponentStatus, 0, len(componentOrder))
	for _, name := range componentOrder {
		status := v1alpha1.ComponentStatus{Name: name, State: v1alpha1.ComponentWaiting}
		if name == v1alpha1.ComponentKubeProxy && proxy == v1alpha1.ProxyModeNone {
			status.State = v1alpha1.ComponentDisabled
		}
		for _, f := range found {
			if f.Name == name {
				status = f
			}
		}
		out = append(out, status)
	}
	return out
}
