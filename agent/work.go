package agent

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/kubeletstate"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// work is what is done to the machine for one desired state, and what was found on the way.
type work struct {
	agent *Agent

	mu       sync.Mutex
	facts    host.Facts
	findings []v1alpha1.Finding
	planned  []v1alpha1.Finding // what the plan has to say
	flawed   bool               // it was activated although the preflight found errors
	bundle   *bundle.Bundle
	ends     map[string]int // how often each process had ended in a row when the state was activated first, which is not its fault
}

// newWork begins the work for one desired state.
func (a *Agent) newWork() generation.Work {
	w := &work{agent: a}
	a.begun.Store(w)
	return w
}

// observed is the work that the status tells of: that for the state that runs, and while nothing does or what is wanted instead
// cannot be installed, what was begun last.
func (a *Agent) observed() *work {
	if a.installer.Obstacle() == nil {
		return a.running()
	}
	return a.begun.Load()
}

// running is the work for the state that runs, or what was begun last while none does.
func (a *Agent) running() *work {
	if up, _ := a.installer.Up().(*work); up != nil {
		return up
	}
	return a.begun.Load()
}

// Facts are what was found of the machine.
func (w *work) Facts() host.Facts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.facts
}

// Findings are what the preflight and the plan have to say.
func (w *work) Findings() []v1alpha1.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Concat(w.findings, w.planned)
}

// preflight is what was found on the machine, the worst first.
func (w *work) preflight() []v1alpha1.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.findings)
}

// Flawed says whether the installed state is to be looked at again.
func (w *work) Flawed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flawed
}

// Fetch makes sure of the bundle.
func (w *work) Fetch(ctx context.Context, g *generation.Generation) error {
	ref, err := g.Image(runtime.GOARCH)
	var b *bundle.Bundle
	if err == nil {
		store := w.agent.bundles(g.Spec.Cluster)
		store.Lazy = true // until Settle
		if b, err = store.Ensure(ctx, ref); err == nil {
			b = store.ByContent(b)
		}
	}
	if err != nil {
		return err
	}
	if kubelet := b.Versions["kubelet"]; kubelet != g.Spec.Version {
		return fmt.Errorf("bundle %s has the kubelet %s, not %s: give the NodeBundle of %s the right image", ref, kubelet, g.Spec.Version, g.Spec.Version)
	}
	w.mu.Lock()
	w.bundle = b
	w.mu.Unlock()
	w.agent.step(status.StepBundleReady)
	return nil
}

// Settle makes the bundle durable.
func (w *work) Settle(g *generation.Generation) error {
	w.mu.Lock()
	b := w.bundle
	w.mu.Unlock()
	return w.agent.bundles(g.Spec.Cluster).Settle(b)
}

// Plan is all that makes the state the one that runs: its files and its processes, containerd at once, the others when there
// is an identity for them to use.
func (w *work) Plan(ctx context.Context, g *generation.Generation) (generation.Change, error) {
	a := w.agent
	w.mu.Lock()
	facts, b := w.facts, w.bundle
	w.mu.Unlock()
	plan, err := a.opts.plan(g, facts, b, a.paths, a.supervise)
	if err != nil {
		return generation.Change{}, err
	}
	w.mu.Lock()
	w.planned = plan.Findings
	w.mu.Unlock()
	a.prepareKubelet(plan.Processes)
	return generation.Change{Generation: g.At(facts.NodeIP.String(), facts.MTU), Apply: func() error {
		if err := w.takeOver(ctx, g); err != nil {
			return err
		}
		if err := a.applied.write(g, w, b, plan); err != nil {
			return err
		}
		a.drift.Look()
		if a.hasIdentity() {
			if err := a.writeKubeconfigs(); err != nil {
				return err
			}
		}
		w.countEnds(plan.Processes)
		return a.supervise.Apply(a.startable(plan.Processes))
	}}, nil
}

// plan is what to put onto the machine for a state, and what to run there.
func (o Options) plan(g *generation.Generation, facts host.Facts, b *bundle.Bundle, paths component.Paths, started *supervise.Supervisor) (*component.Plan, error) {
	config := component.Config{
		NodeName: g.NodeName, ProviderID: g.ProviderID, Taints: g.Taints, Spec: g.Spec, Facts: facts, Bundle: b,
		PodCIDRs: texts(network.CachedPodCIDRs(o.StateDir, g.NodeName)), Paths: paths,
	}
	config.InPlace = component.StartedInPlace(config, started.Has)
	return component.Build(config)
}

// prepareKubelet has each start of the kubelet preceded by a look at the files that it starts with.
func (a *Agent) prepareKubelet(processes []supervise.Process) {
	keeper := &kubeletstate.Keeper{
		KubeletDir: a.paths.KubeletDir, Path: filepath.Join(a.opts.StateDir, "kubelet-state.json"), Log: a.log.WithName("kubeletstate"),
	}
	for i, p := range processes {
		if p.Name == v1alpha1.ComponentKubelet {
			processes[i].Prepare = func() error { return keeper.Prepare(p.Version) }
		}
	}
}

// countEnds takes down what the processes have behind them, unless that was done before.
func (w *work) countEnds(processes []supervise.Process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends != nil {
		return
	}
	w.ends = map[string]int{}
	for _, p := range processes {
		w.ends[p.Name] = w.agent.supervise.Failures(p.Name)
	}
}

// failures is how often a process has ended in a row since the state was activated.
func (w *work) failures(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.agent.supervise.Failures(name)
	if n < w.ends[name] { // it was well meanwhile, or is another one
		w.ends[name] = 0
	}
	return n - w.ends[name]
}

// Collect removes the bundles that neither the state nor a running process needs.
func (w *work) Collect(ctx context.Context, g *generation.Generation) {
	ref, err := g.Image(runtime.GOARCH)
	if err == nil {
		err = w.agent.bundles(g.Spec.Cluster).Collect(ctx, ref)
	}
	if err != nil {
		w.agent.log.Error(err, "Failed to remove bundles that nothing needs")
	}
}

// startable leaves out what has no identity to work with yet, but never what an earlier agent may have started; and the
// kubelet of a Node that nobody wants. A kubelet of which nobody could say that yet may not register it.
func (a *Agent) startable(processes []supervise.Process) []supervise.Process {
	identified, wanted, registers := a.restarted || closed(a.introduced), a.members.MayRun(), a.members.MayRegister()
	started := slices.DeleteFunc(slices.Clone(processes), func(p supervise.Process) bool {
		return !identified && p.Name != v1alpha1.ComponentContainerd || !wanted && p.Name == v1alpha1.ComponentKubelet
	})
	for i, p := range started {
		if p.Name == v1alpha1.ComponentKubelet && !registers {
			started[i].Args = append(slices.Clone(p.Args), component.RegisterNoNode)
		}
	}
	return started
}

func (a *Agent) hasIdentity() bool { return a.restarted || closed(a.joined) }

func texts(cidrs []netip.Prefix) []string {
	var out []string
	for _, c := range cidrs {
		out = append(out, c.String())
	}
	return out
}
