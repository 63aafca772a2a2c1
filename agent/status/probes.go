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
	proxy, network := "kube-proxy keeps Services' rules", "pods' routes and rules are in place"
	if spec.Drift.Rules == v1alpha1.DriftIgnore {
		const unseen = "are not looked at, as the policy for rules is Ignore"
		proxy, network = "kube-proxy answers; Services' rules "+unseen, "pods' routes are in place; their rules "+unseen
	}
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
			Check: ask.Proxy, Alive: ask.ProxyAlive, Healthy: proxy,
		},
		{
			Condition: v1alpha1.NetworkHealthyCondition, Disabled: spec.Network.Mode == v1alpha1.NetworkModeExternal,
			Every: kernelEvery, Check: ask.Network, Healthy: network,
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
