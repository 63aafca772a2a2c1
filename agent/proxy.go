package agent

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/netevents"
	"github.com/drover-dev/drover/agent/proxyrules"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// newProxyKeeper makes what has kube-proxy write its rules again when they are gone.
func (a *Agent) newProxyKeeper() *proxyrules.Keeper {
	var seen proxyRun
	return &proxyrules.Keeper{
		Missing: func(ctx context.Context) (string, error) {
			return proxyrules.Missing(ctx, a.installer.Running().Spec.Proxy.Mode, a.serviceRanges())
		},
		Runs:    func() bool { return seen.settled(a.installer.Running().Spec.Proxy.Mode, a.supervise.Status()) },
		Wrote:   a.proxyWrote,
		Restart: func(reason string) { a.supervise.Restart(v1alpha1.ComponentKubeProxy, reason) },
		Changed: func() { a.monitor.Recheck(v1alpha1.ProxyHealthyCondition); wake(a.dirty) },
		Clock:   clock.RealClock{}, Log: a.log.WithName("proxyrules"),
	}
}

// keepProxyRules runs it. On a kernel that tells of no changes it still looks every two seconds.
func (a *Agent) keepProxyRules(ctx context.Context) error {
	events, err := netevents.Subscribe(ctx, netevents.Rules)
	if err != nil {
		a.log.Error(err, "Will see a change of the kernel's rules only when it looks")
	}
	a.proxy.Run(ctx, events)
	return nil
}

// proxyWrote asks kube-proxy whether it has written the rules of each family of Services.
func (a *Agent) proxyWrote(ctx context.Context) (bool, error) {
	families, err := health.ProxyWrote(ctx, health.ProxyURL)
	for _, r := range a.serviceRanges() {
		family := "IPv6"
		if r.Addr().Is4() {
			family = "IPv4"
		}
		if !slices.Contains(families, family) {
			return false, err
		}
	}
	return true, err
}

// serviceRanges are the ranges of Services. Where nobody told them, the node's address says of which family they are.
func (a *Agent) serviceRanges() []netip.Prefix {
	if ranges := prefixes(a.installer.Running().Spec.Cluster.ServiceCIDRs); len(ranges) > 0 {
		return ranges
	}
	nodeIP := a.running().Facts().NodeIP
	if !nodeIP.IsValid() {
		return nil
	}
	return []netip.Prefix{netip.PrefixFrom(nodeIP, nodeIP.BitLen())}
}

// proxyRun is the kube-proxy that was last seen to run.
type proxyRun struct {
	mode    v1alpha1.ProxyMode
	started time.Time
}

// settled says whether a kube-proxy runs that writes the rules of a mode. One that was started for another mode goes on
// for a moment after the mode was changed.
func (r *proxyRun) settled(mode v1alpha1.ProxyMode, components []v1alpha1.ComponentStatus) bool {
	proxy := status.Component(components, v1alpha1.ComponentKubeProxy)
	if proxy == nil || proxy.State != v1alpha1.ComponentRunning {
		return false
	}
	started := proxy.StartedAt.Time
	if r.mode != "" && mode != r.mode && started.Equal(r.started) {
		return false
	}
	r.mode, r.started = mode, started
	return true
}
