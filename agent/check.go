package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/drover-dev/drover/agent/baseline"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// addressPatience is how long a node that had an address before waits for its resolver at a start.
const addressPatience = 2 * time.Second

// findingNodeAddress names the finding of a node that goes on with the address it had.
const findingNodeAddress = "NodeAddress"

// check loads what the kernel lacks, gathers the facts and makes the machine ready for the state. What the preflight
// finds keeps a new state from being installed. It does not keep one that was installed before from going on: without
// its supervisor, and after a reboot without the kubelet, which alone evicts pods and removes images, such a machine
// would never mend.
func (a *Agent) check(ctx context.Context, g *generation) error {
	if err := a.loadModules(ctx); err != nil {
		return err
	}
	// Before the machine is looked at, which would complain of what is mended by it.
	refused := a.system.ApplySysctls(g.Spec.Sysctls, strings.HasPrefix(g.ProviderID, v1alpha1.LocalProviderIDPrefix))
	before := a.before(g)
	facts, findings, err := a.gather(ctx, g, before)
	if err != nil {
		return err
	}
	doubtful := len(findings) > 0
	findings = append(findings, a.claim()...)
	findings = append(findings, a.tolerateFullDisk(g, host.Preflight(facts, g.NodeName, &g.Spec, time.Now()))...)
	findings = append(findings, refused...)
	host.SortFindings(findings)
	failed := strings.Join(host.Errors(findings), "; ")
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
	if err := a.system.PrepareCgroups(facts); err != nil {
		return err
	}
	a.network.Configure(network.Config{
		Node: g.NodeName, Settings: g.Spec.Network, PodCIDRs: prefixes(g.Spec.Cluster.PodCIDRs), MTU: facts.MTU,
		Reserved: append(prefixes(g.Spec.Cluster.ServiceCIDRs), a.serverPrefixes(ctx, g.Spec.Cluster.Server)...),
	})
	a.step(stepPreflight)
	return nil
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
	loaded, err := a.system.LoadModules(ctx)
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
		return []v1alpha1.Finding{{Name: host.FindingOtherRuntime, Severity: v1alpha1.FindingError, Message: v1alpha1.BoundMessage(err.Error())}}
	case len(others) > 0:
		return []v1alpha1.Finding{{Name: host.FindingOtherRuntime, Severity: v1alpha1.FindingError, Message: host.OtherRuntime(others)}}
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
	return facts, []v1alpha1.Finding{{
		Name: findingNodeAddress, Severity: v1alpha1.FindingWarning,
		Message: v1alpha1.BoundMessage(fmt.Sprintf("%s goes on as the node's address, as before: %s", nodeIP, err)),
	}}, nil
}

// tolerateFullDisk makes the want of room a warning where nothing has to be fetched.
func (a *Agent) tolerateFullDisk(g *generation, findings []v1alpha1.Finding) []v1alpha1.Finding {
	for i, f := range findings {
		if f.Name != host.FindingDiskSpace || f.Severity != v1alpha1.FindingError {
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
