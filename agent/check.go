package agent

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/drover-dev/drover/agent/baseline"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// addressPatience is how long a node that had an address before waits for its resolver at a start.
const addressPatience = 2 * time.Second

// Check loads what the kernel lacks and gathers the facts; where no other state runs, it makes the machine ready as well. What
// the preflight finds keeps a new state from being installed. It does not keep one that was installed before from going on:
// without its supervisor, and after a reboot without the kubelet, which alone evicts pods and removes images, such a machine
// would never mend.
func (w *work) Check(ctx context.Context, g, before *generation.Generation) error {
	a := w.agent
	if err := a.loadModules(ctx); err != nil {
		return err
	}
	alone := before != nil || a.installer.Kept() == nil
	var refused []v1alpha1.Finding
	if alone {
		refused = w.applySysctls(g) // before the machine is looked at, which would complain of what is mended by it
	}
	facts, findings, err := a.gather(ctx, g, before)
	if err != nil {
		return err
	}
	doubtful := len(findings) > 0
	findings = a.judge(g, facts, append(findings, refused...))
	failed := strings.Join(finding.Errors(findings), "; ")
	w.mu.Lock()
	w.facts, w.findings, w.flawed = facts, findings, before != nil && (doubtful || failed != "")
	w.mu.Unlock()
	wake(a.dirty)
	if failed != "" && before == nil {
		return errors.New(failed)
	}
	if failed != "" {
		a.log.Info("Went on with the state that was installed before in spite of the preflight", "failed", failed)
	}
	if alone {
		if err := w.prepare(ctx, g); err != nil {
			return err
		}
	}
	a.step(status.StepPreflight)
	return nil
}

// prepare makes the machine ready for the state, of which Check gathered the facts.
func (w *work) prepare(ctx context.Context, g *generation.Generation) error {
	a, facts := w.agent, w.Facts()
	if err := a.kernel.PrepareCgroups(facts); err != nil {
		return err
	}
	a.network.Configure(network.Config{
		Node: g.NodeName, Settings: g.Spec.Network, PodCIDRs: prefixes(g.Spec.Cluster.PodCIDRs), MTU: facts.MTU,
		Sysctls: dotted(g.Spec.Sysctls), Drift: g.Spec.Drift, Of: g.ID(),
		Reserved: append(prefixes(g.Spec.Cluster.ServiceCIDRs), a.serverPrefixes(ctx, g.Spec.Cluster.Server)...),
	})
	a.prepared.Store(w)
	return nil
}

// takeOver makes the machine ready for a state while another one runs, or was about to.
func (w *work) takeOver(ctx context.Context, g *generation.Generation) error {
	if w.agent.prepared.Load() == w {
		return nil
	}
	refused := w.agent.applySysctls(g)
	w.found(append(w.preflight(), refused...))
	if failed := finding.Errors(refused); len(failed) > 0 {
		return errors.New(strings.Join(failed, "; "))
	}
	return w.prepare(ctx, g)
}

// Look looks again at the machine of a state that is installed, for what was changed on it since, such as a firewall that
// was turned on. It changes nothing but the findings, and the kernel's parameters where somebody set them otherwise. An error
// that it finds has the machine checked and the state activated anew until it is gone.
func (w *work) Look(ctx context.Context, g *generation.Generation) {
	a := w.agent
	refused := w.applySysctls(g)
	nodeIP := w.Facts().NodeIP // which is not looked for again: that may take a resolver's time
	facts, err := a.system.Gather(ctx, host.GatherOptions{NodeIP: nodeIP, StateDir: a.opts.StateDir})
	if err != nil && !errors.Is(err, host.ErrNoAddress) {
		a.log.Error(err, "Could not look at the machine again")
		return
	}
	w.found(a.judge(g, facts, refused))
}

// found takes down what is found on the machine of a state that is installed, or is about to be.
func (w *work) found(findings []v1alpha1.Finding) {
	finding.Sort(findings)
	w.mu.Lock()
	same := slices.Equal(w.findings, findings)
	w.findings, w.flawed = findings, len(finding.Errors(findings)) > 0
	w.mu.Unlock()
	if !same {
		w.agent.log.Info("Found the machine changed", "findings", findings)
		wake(w.agent.dirty)
	}
}

// dotted are kernel parameters by their names with dots, as which a template may also write slashes.
func dotted(sysctls map[string]v1alpha1.SysctlValue) map[string]string {
	byName := make(map[string]string, len(sysctls))
	for name, value := range sysctls {
		byName[strings.ReplaceAll(name, "/", ".")] = string(value)
	}
	return byName
}

// applySysctls sets the kernel's parameters, and returns what it could not set.
func (a *Agent) applySysctls(g *generation.Generation) []v1alpha1.Finding {
	return a.kernel.ApplySysctls(g.Spec.Sysctls, sharesKernel(g))
}

// applySysctls is the agent's, unless the state runs and what others have changed of its parameters is to be left.
func (w *work) applySysctls(g *generation.Generation) []v1alpha1.Finding {
	if w.agent.installer.Up() == generation.Work(w) && repairUnless(g.Spec.Drift.Sysctls) != v1alpha1.DriftRepair {
		return w.agent.kernel.RefusedSysctls(g.Spec.Sysctls, sharesKernel(g))
	}
	return w.agent.applySysctls(g)
}

// sharesKernel says whether a machine has the kernel of its host.
func sharesKernel(g *generation.Generation) bool {
	return strings.HasPrefix(g.ProviderID, v1alpha1.LocalProviderIDPrefix)
}

// judge is what is found on the machine, the worst first, what is known already included.
func (a *Agent) judge(g *generation.Generation, facts host.Facts, findings []v1alpha1.Finding) []v1alpha1.Finding {
	findings = append(findings, a.claim()...)
	findings = append(findings, a.tolerateFullDisk(g, host.Preflight(facts, g.NodeName, &g.Spec, time.Now()))...)
	finding.Sort(findings)
	return findings
}

// serverPrefixes are the API server's addresses as ranges; none while its name cannot be looked up.
func (a *Agent) serverPrefixes(ctx context.Context, server string) []netip.Prefix {
	ctx, cancel := context.WithTimeout(ctx, addressPatience)
	defer cancel()
	addresses, err := a.system.ServerAddresses(ctx, server)
	if err != nil {
		a.log.Error(err, "Could not keep the API server's address from the ranges of Nodes")
	}
	var ranges []netip.Prefix
	for _, address := range addresses {
		ranges = append(ranges, netip.PrefixFrom(address, address.BitLen()))
	}
	return ranges
}

// loadModules has the kernel's modules loaded before the machine is looked at, and takes down what that was like. What
// cannot be loaded is found by the preflight, which says what a node misses by it.
func (a *Agent) loadModules(ctx context.Context) error {
	before := baseline.Recorder{StateDir: a.opts.StateDir, RunDir: a.opts.RunDir}
	if err := before.Record(); err != nil {
		return err
	}
	loaded, err := a.kernel.LoadModules(ctx)
	if err != nil {
		a.log.Error(err, "Failed to load kernel modules")
	}
	if len(loaded) > 0 {
		a.log.Info("Loaded kernel modules", "modules", loaded)
	} else if a.supervise.Knows(v1alpha1.ComponentKubeProxy) {
		return nil // it has set their parameters
	}
	return before.RecordLoaded() // also for an agent that ended between the two
}

// claim takes the components' directories for the agent, unless others use them.
func (a *Agent) claim() []v1alpha1.Finding {
	others, err := a.paths.Claim(a.installer.Kept() != nil)
	switch {
	case err != nil:
		return []v1alpha1.Finding{finding.Error(finding.OtherRuntime, "%s", err)}
	case len(others) > 0:
		return []v1alpha1.Finding{finding.Error(finding.OtherRuntime, "%s", host.OtherRuntime(others))}
	}
	a.claimOnce.Do(func() { close(a.claimed) })
	return nil
}

// gather reads the facts. When all that is missing is the node's address, the one it had before does, with a finding.
func (a *Agent) gather(ctx context.Context, g, before *generation.Generation) (host.Facts, []v1alpha1.Finding, error) {
	opts := host.GatherOptions{Server: g.Spec.Cluster.Server, NodeIP: a.opts.NodeIP, NodeCIDRs: prefixes(g.Spec.Network.NodeCIDRs), StateDir: a.opts.StateDir}
	if before == nil || before.NodeIP == "" {
		facts, err := a.system.Gather(ctx, opts)
		return facts, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, addressPatience)
	defer cancel()
	facts, err := a.system.Gather(ctx, opts)
	if !errors.Is(err, host.ErrNoAddress) {
		return facts, nil, err
	}
	nodeIP, invalid := netip.ParseAddr(before.NodeIP)
	if invalid != nil {
		return facts, nil, err
	}
	a.log.Info("Took the address that the node had before", "address", nodeIP, "cause", err.Error())
	facts.NodeIP, facts.MTU = nodeIP, before.MTU
	return facts, []v1alpha1.Finding{finding.Warning(finding.NodeAddress, "%s goes on as the node's address, as before: %s", nodeIP, err)}, nil
}

// tolerateFullDisk makes the want of room a warning where nothing has to be fetched.
func (a *Agent) tolerateFullDisk(g *generation.Generation, findings []v1alpha1.Finding) []v1alpha1.Finding {
	for i, f := range findings {
		if f.Name != finding.DiskSpace || f.Severity != v1alpha1.FindingError {
			continue
		}
		if ref, err := g.Image(runtime.GOARCH); err == nil && a.bundles(g.Spec.Cluster).Has(ref) {
			findings[i].Severity = v1alpha1.FindingWarning
		}
	}
	return findings
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
