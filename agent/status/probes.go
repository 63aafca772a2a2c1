package status

import (
	"context"
	"time"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// clockEvery is the time between two looks at the API server's clock.
const clockEvery = time.Minute

// kernelEvery is the time between two looks at what the kernel has for pods: anyone on the machine may take it away.
const kernelEvery = 2 * time.Second

// Checks are the questions behind the conditions, as health.Probe has them.
type Checks struct {
	Runtime, Kubelet, Proxy, Network, Disk, Clock func(context.Context) error
	// RuntimeAlive and its like ask whether the process answers at all.
	RuntimeAlive, KubeletAlive, ProxyAlive func(context.Context) error
}

// Probes are what the conditions rest on in a state of the node.
func Probes(spec *v1alpha1.NodeAgentSpec, ask Checks) []health.Probe {
	return []health.Probe{
		{
			Condition: v1alpha1.RuntimeHealthyCondition, Component: v1alpha1.ComponentContainerd,
			Check: ask.Runtime, Alive: ask.RuntimeAlive, Healthy: "containerd runs containers",
		},
		{
			Condition: v1alpha1.KubeletHealthyCondition, Component: v1alpha1.ComponentKubelet,
			Check: ask.Kubelet, Alive: ask.KubeletAlive, Healthy: "kubelet syncs pods",
		},
		{
			Condition: v1alpha1.ProxyHealthyCondition, Component: v1alpha1.ComponentKubeProxy, Disabled: spec.Proxy.Mode == v1alpha1.ProxyModeNone,
			Check: ask.Proxy, Alive: ask.ProxyAlive, Healthy: "kube-proxy keeps Services' rules",
		},
		{
			Condition: v1alpha1.NetworkHealthyCondition, Disabled: spec.Network.Mode == v1alpha1.NetworkModeExternal,
			Every: kernelEvery, Check: ask.Network, Healthy: "pods' routes and rules are in place",
		},
		{
			Condition: v1alpha1.DiskHealthyCondition, Check: ask.Disk, Healthy: "there is room for pods and images",
		},
		{
			Condition: v1alpha1.ClockSynchronizedCondition, Every: clockEvery, RetryEvery: time.Second,
			Check: ask.Clock, Healthy: "the clock is within 2s of the API server's",
		},
	}
}
