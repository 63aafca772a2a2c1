package status

import (
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// componentOrder is how the components are listed, always.
var componentOrder = []string{v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy, v1alpha1.ComponentNetwork}

// components orders what the supervisor and the network say; one that neither knows waits, or is off.
func components(found []v1alpha1.ComponentStatus, proxy v1alpha1.ProxyMode) []v1alpha1.ComponentStatus {
	out := make([]v1alpha1.ComponentStatus, 0, len(componentOrder))
	for _, name := range componentOrder {
		status := v1alpha1.ComponentStatus{Name: name, State: v1alpha1.ComponentWaiting}
		if name == v1alpha1.ComponentKubeProxy && proxy == v1alpha1.ProxyModeNone {
			status.State = v1alpha1.ComponentDisabled
		}
		if c := Component(found, name); c != nil {
			status = *c
		}
		out = append(out, status)
	}
	return out
}

// Component is the one of a name, nil where there is none.
func Component(found []v1alpha1.ComponentStatus, name string) *v1alpha1.ComponentStatus {
	for i := range found {
		if found[i].Name == name {
			return &found[i]
		}
	}
	return nil
}

// KubeletStarted is when the kubelet that runs was started, zero when none does.
func KubeletStarted(found []v1alpha1.ComponentStatus) time.Time {
	if c := Component(found, v1alpha1.ComponentKubelet); c != nil && c.PID != nil {
		return c.StartedAt.Time
	}
	return time.Time{}
}
