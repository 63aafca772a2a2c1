package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// mendInterval is how often a machine that failed the preflight, or a change of its configuration, is looked at again.
	mendInterval = 10 * time.Second
	// lookInterval is how often one that has what it needs is looked at for what was changed on it.
	lookInterval = 5 * time.Minute
	// collectDelay is how long after a state was installed the bundles of others are removed.
	collectDelay = 5 * time.Minute
	// fetchFirst and fetchLast bound the wait after a fetch that failed.
	fetchFirst = time.Second
	fetchLast  = time.Minute
)

// install brings the machine to its desired state, and to each later one, until the context ends.
func (a *Agent) install(ctx context.Context) error {
	for next := a.generation(); next != nil; {
		next = a.bring(ctx, next)
	}
	return nil
}

// stage is one step of installing a state.
type stage struct {
	do func(context.Context, *generation) error
	// reason is the conditions' while the stage fails.
	reason string
	// first and last bound the wait after a failure.
	first, last time.Duration
}

// bring installs one desired state and stays with it until there is another one, which it returns; nil when the
// context ended. Nothing of the state before is touched until the new bundle is there.
func (a *Agent) bring(ctx context.Context, g *generation) *generation {
	for _, s := range []stage{
		{a.check, v1alpha1.ReasonPreflightFailed, mendInterval, mendInterval},
		{a.fetch, v1alpha1.ReasonBundleFetchFailed, fetchFirst, fetchLast},
		{a.activate, v1alpha1.ReasonPreflightFailed, fetchFirst, fetchLast},
	} {
		if next, ok := a.attempt(ctx, g, s); !ok {
			return next
		}
	}
	mend, look := time.NewTicker(mendInterval), time.NewTicker(lookInterval)
	defer mend.Stop()
	defer look.Stop()
	return a.stay(ctx, g, mend.C, look.C)
}

// stay keeps a state that is installed as the machine needs it. What fails, and what the preflight found to be in the way,
// is tried and looked at again at each tick of mend; the machine is looked at for anything else at each tick of look.
func (a *Agent) stay(ctx context.Context, g *generation, mend, look <-chan time.Time) *generation {
	collect := time.NewTimer(collectDelay)
	defer collect.Stop()
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case next := <-a.wanted:
			return next
		case <-collect.C:
			a.collect(ctx, g)
		case <-a.rebuild:
			failed = !a.again(ctx, g, a.activate)
		case <-mend:
			if failed || a.isFlawed() {
				failed = !a.again(ctx, g, a.check, a.activate)
			}
		case <-look:
			if !failed && !a.isFlawed() {
				a.look(ctx, g)
			}
		}
	}
}

// again repeats steps for a state that is installed, and says whether all of them worked.
func (a *Agent) again(ctx context.Context, g *generation, steps ...func(context.Context, *generation) error) bool {
	for _, step := range steps {
		if err := step(ctx, g); err != nil {
			if ctx.Err() == nil {
				a.hinder(&status.Obstacle{Reason: v1alpha1.ReasonPreflightFailed, Message: err.Error()})
			}
			return false
		}
	}
	a.overcome(v1alpha1.ReasonPreflightFailed)
	return true
}

// attempt does one stage until it works. A newer desired state or the end of the context stops it. An obstacle stays
// in the way until the stage that met it is passed, so that whoever looks meanwhile sees it.
func (a *Agent) attempt(ctx context.Context, g *generation, s stage) (*generation, bool) {
	for wait := s.first; ; wait = min(2*wait, s.last) {
		err := s.do(ctx, g)
		if ctx.Err() != nil {
			return nil, false
		}
		if err == nil {
			a.overcome(s.reason)
			return nil, true
		}
		a.hinder(&status.Obstacle{Reason: s.reason, Message: err.Error()})
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, false
		case next := <-a.wanted:
			timer.Stop()
			return next, false
		case <-timer.C:
		}
	}
}

// collect removes the bundles that neither the state nor a running process needs.
func (a *Agent) collect(ctx context.Context, g *generation) {
	ref, err := image(&g.Spec, runtime.GOARCH)
	if err == nil {
		err = a.bundles(g.Spec.Cluster).Collect(ctx, ref)
	}
	if err != nil {
		a.log.Error(err, "Failed to remove bundles that nothing needs")
	}
}

// fetch makes sure of the bundle.
func (a *Agent) fetch(ctx context.Context, g *generation) error {
	ref, err := image(&g.Spec, runtime.GOARCH)
	var b *bundle.Bundle
	if err == nil {
		b, err = a.bundles(g.Spec.Cluster).Ensure(ctx, ref)
	}
	if err != nil {
		return err
	}
	if kubelet := b.Versions["kubelet"]; kubelet != g.Spec.Version {
		return fmt.Errorf("bundle %s has the kubelet %s, not %s: give the NodeBundle of %s the right image", ref, kubelet, g.Spec.Version, g.Spec.Version)
	}
	a.mu.Lock()
	a.bundle = b
	a.mu.Unlock()
	a.step(status.StepBundleReady)
	return nil
}

// activate makes the state the current one, on disk first, and has its processes run: containerd at once, the others
// when there is an identity for them to use.
func (a *Agent) activate(_ context.Context, g *generation) error {
	a.mu.Lock()
	facts, b := a.facts, a.bundle
	if sameState(g, a.newest) {
		g = a.newest // which may know a later generation of it, and whose machine this is
	}
	a.mu.Unlock()
	plan, err := component.Build(component.Config{
		NodeName: g.NodeName, ProviderID: g.ProviderID, Taints: g.Taints, Spec: g.Spec, Facts: facts, Bundle: b,
		PodCIDRs: texts(network.CachedPodCIDRs(a.opts.StateDir, g.NodeName)), Paths: a.paths,
	})
	if err != nil {
		return err
	}
	if err := a.commit(g, facts); err != nil {
		return err
	}
	if err := plan.WriteFiles(); err != nil {
		return err
	}
	if a.hasIdentity() {
		if err := a.identityPaths().WriteKubeconfig(g.Spec.Cluster); err != nil {
			return err
		}
	}
	if err := a.supervise.Apply(a.startable(plan.Processes)); err != nil {
		return err
	}
	a.mu.Lock()
	if sameState(g, a.newest) {
		g = a.newest // which may know a later generation of it
	}
	a.current, a.activated = g, true
	a.mu.Unlock()
	wake(a.dirty)
	return nil
}

// commit makes the state, with the address that it is configured with, the one that a restart begins with.
func (a *Agent) commit(g *generation, facts host.Facts) error {
	g = g.at(facts.NodeIP.String(), facts.MTU)
	if err := g.commit(a.opts.StateDir); err != nil {
		return err
	}
	a.mu.Lock()
	a.committed = g
	a.mu.Unlock()
	return nil
}

// startable leaves out what has no identity to work with yet, but never what an earlier agent may have started; and the
// kubelet of a Node that nobody wants.
func (a *Agent) startable(processes []supervise.Process) []supervise.Process {
	identified, wanted := a.restarted || closed(a.introduced), a.members.MayRun()
	return slices.DeleteFunc(slices.Clone(processes), func(p supervise.Process) bool {
		return !identified && p.Name != v1alpha1.ComponentContainerd || !wanted && p.Name == v1alpha1.ComponentKubelet
	})
}

func (a *Agent) hasIdentity() bool { return a.restarted || closed(a.joined) }

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// roots are the machine's own authorities and the cluster's, which signs the manager's artifact endpoint.
func roots(serverCA string) *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM([]byte(serverCA))
	return pool
}

func prefixes(cidrs []string) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range cidrs {
		if p, err := netip.ParsePrefix(c); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

func texts(cidrs []netip.Prefix) []string {
	var out []string
	for _, c := range cidrs {
		out = append(out, c.String())
	}
	return out
}
