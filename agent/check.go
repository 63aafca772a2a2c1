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
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// addressPatience is how long a node that had an address before waits for its resolver at a start.
const addressPatience = 2 * time.Second

// check loads what the kernel lacks, gathers the facts and makes the machine ready for the state. What the preflight
// finds keeps a new state from being installed. It does not keep one that was installed before from going on: without
// its supervisor, and after a reboot without the kubelet, which alone evicts pods and removes images, such a machine
// would never mend.
func (a *Agent) check(ctx context.Context, g *generation) error {
	if err := a.loadModules(ctx); err != nil {
		return err
	}
	refused := a.applySysctls(g) // before the machine is looked at, which would complain of what is mended by it
	before := a.before(g)
	facts, findings, err := a.gather(ctx, g, before)
	if err != nil {
		return err
	}
	doubtful := len(findings) > 0
	findings = a.judge(g, facts, append(findings, refused...))
	failed := strings.Join(finding.Errors(findings), "; ")
	a.mu.Lock()
	a.facts, a.findings, a.flawed = facts, findings, before != nil && (doubtful || failed != "")
	a.mu.Unlock()
	wake(a.dirty)
	if failed != "" && before == nil {
		return errors.New(failed)
	}
	if failed != "" {
		a.log.Info("Went on with the state that was installed before in spite of the preflight", "failed", failed)
	}
	if err := a.kernel.PrepareCgroups(facts); err != nil {
		return err
	}
	a.network.Configure(network.Config{
		Node: g.NodeName, Settings: g.Spec.Network, PodCIDRs: prefixes(g.Spec.Cluster.PodCIDRs), MTU: facts.MTU,
		Reserved: append(prefixes(g.Spec.Cluster.ServiceCIDRs), a.serverPrefixes(ctx, g.Spec.Cluster.Server)...),
	})
	a.step(status.StepPreflight)
	return nil
}

// look looks again at the machine of a state that is installed, for what was changed on it since, such as a firewall that
// was turned on. It changes nothing but the findings, and the kernel's parameters where somebody set them otherwise. An error
// that it finds has the machine checked and the state activated anew until it is gone.
func (a *Agent) look(ctx context.Context, g *generation) {
	refused := a.applySysctls(g)
	a.mu.Lock()
	nodeIP := a.facts.NodeIP // which is not looked for again: that may take a resolver's time
	a.mu.Unlock()
	facts, err := a.system.Gather(ctx, host.GatherOptions{NodeIP: nodeIP, StateDir: a.opts.StateDir})
	if err != nil && !errors.Is(err, host.ErrNoAddress) {
		a.log.Error(err, "Could not look at the machine again")
		return
	}
	findings := a.judge(g, facts, refused)
	a.mu.Lock()
	same := slices.Equal(a.findings, findings)
	a.findings, a.flawed = findings, len(finding.Errors(findings)) > 0
	a.mu.Unlock()
	if !same {
		a.log.Info("Found the machine changed", "findings", findings)
		wake(a.dirty)
	}
}

// applySysctls sets the kernel's parameters, and returns what it could not set.
func (a *Agent) applySysctls(g *generation) []v1alpha1.Finding {
	return a.kernel.ApplySysctls(g.Spec.Sysctls, strings.HasPrefix(g.ProviderID, v1alpha1.LocalProviderIDPrefix))
}

// judge is what is found on the machine, the worst first, what is known already included.
func (a *Agent) judge(g *generation, facts host.Facts, findings []v1alpha1.Finding) []v1alpha1.Finding {
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
	a.mu.Lock()
	known := a.committed != nil
	a.mu.Unlock()
	others, err := a.paths.Claim(known)
	switch {
	case err != nil:
		return []v1alpha1.Finding{finding.Error(finding.OtherRuntime, "%s", err)}
	case len(others) > 0:
		return []v1alpha1.Finding{finding.Error(finding.OtherRuntime, "%s", host.OtherRuntime(others))}
	}
	a.claimOnce.Do(func() { close(a.claimed) })
	return nil
}

// before is the state as it was installed last, nil when it never was.
func (a *Agent) before(g *generation) *generation {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.committed == nil || !sameState(a.committed, g) {
		return nil
	}
	return a.committed
}

// gather reads the facts. When all that is missing is the node's address, the one it had before does, with a finding.
func (a *Agent) gather(ctx context.Context, g, before *generation) (host.Facts, []v1alpha1.Finding, error) {
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
func (a *Agent) tolerateFullDisk(g *generation, findings []v1alpha1.Finding) []v1alpha1.Finding {
	for i, f := range findings {
		if f.Name != finding.DiskSpace || f.Severity != v1alpha1.FindingError {
			continue
		}
		if ref, err := image(&g.Spec, runtime.GOARCH); err == nil && a.bundles(g.Spec.Cluster).Has(ref) {
			findings[i].Severity = v1alpha1.FindingWarning
		}
	}
	return findings
}

// isFlawed says whether the installed state is to be looked at again.
func (a *Agent) isFlawed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.flawed
}
