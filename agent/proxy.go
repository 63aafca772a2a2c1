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
			if a.installer.Running().Spec.Drift.Rules == v1alpha1.DriftIgnore {
				return "", nil
			}
			return proxyrules.Missing(ctx, a.installer.Running().Spec.Proxy.Mode, a.serviceRanges())
		},
		Runs:    func() bool { return seen.settled(a.installer.Running().Spec.Proxy.Mode, a.supervise.Status()) },
		Started: func() time.Time { return seen.started },
		Wrote:   a.proxyWrote,
		Leaves:  func() bool { return a.installer.Running().Spec.Drift.Rules == v1alpha1.DriftReport },
		Restart: func(reason string) { a.supervise.Mend(v1alpha1.ComponentKubeProxy, reason) },
		Wait:    func() time.Duration { return a.supervise.RepairWait(v1alpha1.ComponentKubeProxy) },
		Changed: func() { a.monitor.Recheck(v1alpha1.ProxyHealthyCondition); wake(a.dirty) },
		Clock:   clock.RealClock{}, Log: a.log.WithName("proxyrules"),
	}
}

// serverIsBack has kube-proxy ask the API server at once: one that has ended for want of an answer is started, and one that had none
// since this agent started it, and asks ever less often, is started anew. One that an earlier agent started may be well, and only not
// have been asked yet.
func (a *Agent) serverIsBack() {
	a.supervise.Hurry(v1alpha1.ComponentKubeProxy)
	if a.startedByThis(v1alpha1.ComponentKubeProxy) && a.supervise.NotReady(v1alpha1.ComponentKubeProxy) != "" {
		a.supervise.Restart(v1alpha1.ComponentKubeProxy, "the API server answers again")
	}
}

func (a *Agent) startedByThis(component string) bool {
	return slices.ContainsFunc(a.supervise.Status(), func(c v1alpha1.ComponentStatus) bool {
		return c.Name == component && !c.StartedAt.Time.Before(a.started.Truncate(time.Second))
	})
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
