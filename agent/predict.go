package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Prediction is what would become of this node with another desired state.
type Prediction struct {
	// Node is its name, From the revision that it runs and To the one asked about.
	Node, From, To string
	// Changes are those of the fields, by the table, with the components that would restart here.
	Changes []disruption.Change
	// Effects are what would become of processes: Restarts, Starts or Stops, by component. Those not named go on.
	Effects map[string]string
	// Written and Removed are the configuration files that would change.
	Written, Removed []string
	// Notes say what cannot be known from here, and why the agent would refuse.
	Notes []string
}

// The effects on a process.
const (
	Restarts = "restarts"
	Starts   = "starts"
	Stops    = "stops"
	// MayRestart is for programs of a bundle that is not here to compare with.
	MayRestart = "may restart"
)

// Class is how much it would disturb the node's pods.
func (p *Prediction) Class() disruption.Class { return disruption.Worst(p.Changes) }

// ParseDesired reads what a node is asked about: a NodeAgent, or its spec, as YAML or JSON. node is what it must be of, where it says so.
func ParseDesired(data []byte, node string) (*v1alpha1.NodeAgentSpec, error) {
	const advice = "take what `kubectl get nodeagent %s --output=yaml` prints and change its spec"
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(data, &kind); err != nil {
		return nil, fmt.Errorf("it is neither YAML nor JSON: %w", err)
	}
	agent := &v1alpha1.NodeAgent{}
	var err error
	switch kind.Kind {
	case "NodeAgent":
		err = yaml.UnmarshalStrict(data, agent)
	case "":
		err = yaml.UnmarshalStrict(data, &agent.Spec)
	default:
		return nil, fmt.Errorf("it is a %s, not a NodeAgent: "+advice, kind.Kind, node)
	}
	if err != nil {
		return nil, fmt.Errorf("it is no NodeAgent of this release: %w: "+advice, err, node)
	}
	if agent.Name != "" && agent.Name != node {
		return nil, fmt.Errorf("it is the NodeAgent of %s, and this is %s: ask there, or leave metadata.name out", agent.Name, node)
	}
	spec := &agent.Spec
	for name, missing := range map[string]bool{"version": spec.Version == "", "artifacts": len(spec.Artifacts) == 0, "cluster.server": spec.Cluster.Server == ""} {
		if missing {
			return nil, fmt.Errorf("its spec has no %s: "+advice, name, node)
		}
	}
	if spec.Proxy.Mode == "" { // as the API server fills it in
		spec.Proxy.Mode = v1alpha1.ProxyModeNFTables
	}
	if spec.Network.Mode == "" {
		spec.Network.Mode = v1alpha1.NetworkModeRoutes
	}
	return spec, nil
}

// Predict says what would become of this machine's node with another desired state, by the same code that would bring it there. It
// changes nothing, and may be asked beside a running agent.
func Predict(ctx context.Context, opts Options, desired []byte) (*Prediction, error) {
	opts = opts.withDefaults()
	system := host.NewSystem()
	system.Agent = service.Agent(opts.RunDir)
	p, err := predict(ctx, forecast{opts: opts, system: system, paths: opts.paths(system)}, desired)
	if err == nil && system.Agent == 0 {
		p.note("no agent runs here: what it would see of the machine, such as its cgroup, is guessed from here")
	}
	return p, err
}

func predict(ctx context.Context, f forecast, desired []byte) (*Prediction, error) {
	now, state, err := kept(f.opts)
	if err != nil {
		return nil, err
	}
	spec, err := ParseDesired(desired, now.NodeName)
	if err != nil {
		return nil, err
	}
	if Programs(f.opts.StateDir, logr.Discard()).Follows(spec.Agent) {
		spec.Agent = nil // which is no part of what is kept, and nothing new
	}
	wanted := *now
	wanted.Spec, wanted.Spec.Agent = *spec, nil
	next := state.Target(&wanted)
	goes := next.Spec
	goes.Agent = spec.Agent
	p := &Prediction{Node: now.NodeName, From: now.Spec.Revision, To: spec.Revision, Changes: disruption.Between(&now.Spec, &goes), Effects: map[string]string{}}
	if state.Denies(&wanted) {
		p.note("it was rolled back (%s: %s), and is not tried again before something else was wanted: the node stays with revision %s, and what follows is what it takes over from the file", state.Failed.Reason, state.Refusal(), next.Spec.Revision)
	}
	f.Prediction = p
	if f.started, err = supervise.New(supervise.Options{RunDir: f.opts.RunDir}); err != nil {
		return nil, err
	}
	if err := f.compare(ctx, now, next); err != nil {
		return nil, err
	}
	p.attribute()
	return p, nil
}

// kept is the generation that the machine is configured for.
func kept(opts Options) (*generation.Generation, generation.State, error) {
	boot, err := loadBootstrap(opts.BootstrapPath)
	if errors.Is(err, os.ErrPermission) {
		return nil, generation.State{}, fmt.Errorf("%w: ask as root", err)
	}
	if err != nil {
		return nil, generation.State{}, err
	}
	_, state, err := generation.Open(opts.StateDir, boot.NodeName)
	if err != nil {
		return nil, state, err
	}
	now := state.Kept()
	if now == nil {
		return nil, state, fmt.Errorf("%s runs nothing yet that could be changed: its agent's log says why", boot.NodeName)
	}
	return now, state, nil
}

// forecast is a prediction in the making.
type forecast struct {
	*Prediction
	opts    Options
	system  *host.System
	paths   component.Paths
	started *supervise.Supervisor
}

func (p *Prediction) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// compare works out both states' processes and files, and takes down where they differ.
func (f *forecast) compare(ctx context.Context, now, next *generation.Generation) error {
	have, err := f.bundle(now)
	if err != nil {
		return err
	}
	if have == nil {
		f.note("the bundle that the node runs is not on its disk: nothing can be compared with it, and the table alone says what restarts")
		f.byTable(false)
		return nil
	}
	will, err := f.bundle(next)
	if err != nil {
		return err
	}
	if will == nil {
		f.note("the bundle of %s is not on this machine yet: which programs differ cannot be known before it is fetched", next.Spec.Version)
		will = have
		f.byTable(true)
	} else if kubelet := will.Versions["kubelet"]; kubelet != next.Spec.Version {
		f.note("the agent would refuse it: its bundle has the kubelet %s, not %s", kubelet, next.Spec.Version)
	}
	before, err := f.plan(ctx, now, now, have)
	if err != nil {
		return fmt.Errorf("work out what runs now: %w", err)
	}
	after, err := f.plan(ctx, now, next, will)
	if err != nil {
		f.note("the agent would refuse it: %s", err)
		return nil
	}
	f.processes(before.Processes, after.Processes)
	if wanted := serverOf(next.Spec.Cluster); wanted != serverOf(now.Spec.Cluster) {
		f.servers(f.present(now), wanted, after.Processes)
	}
	f.Written, f.Removed, err = after.Differing()
	return err
}

// bundle is a generation's as far as it is on disk, nil where it is not.
func (f *forecast) bundle(g *generation.Generation) (*bundle.Bundle, error) {
	image, err := g.Image(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	return f.opts.bundles().Foresee(image), nil
}

// plan is a state's, on this machine as it is. The node's address is looked for only where other ranges are asked for.
func (f *forecast) plan(ctx context.Context, now, g *generation.Generation, b *bundle.Bundle) (*component.Plan, error) {
	opts := host.GatherOptions{Server: g.Spec.Cluster.Server, NodeCIDRs: prefixes(g.Spec.Network.NodeCIDRs), StateDir: f.opts.StateDir}
	if slices.Equal(g.Spec.Network.NodeCIDRs, now.Spec.Network.NodeCIDRs) {
		opts.NodeIP, _ = netip.ParseAddr(now.NodeIP) // one that is none is looked for
	}
	ctx, cancel := context.WithTimeout(ctx, addressPatience)
	defer cancel()
	facts, err := f.system.Gather(ctx, opts)
	if err != nil {
		return nil, err
	}
	if failed := finding.Errors(host.Preflight(facts, g.NodeName, &g.Spec, time.Now())); len(failed) > 0 && g != now {
		f.note("the agent would refuse it: %s", strings.Join(failed, "; "))
	}
	return f.opts.plan(g, facts, b, f.paths, f.started)
}

// processes tells those that differ. A process that was started otherwise than it would be now is taken for what it would be.
func (f *forecast) processes(before, after []supervise.Process) {
	running := map[string]string{}
	for _, p := range before {
		running[p.Name] = p.Digest()
		if f.started.Knows(p.Name) && !f.started.Has(p) {
			f.note("%s was started otherwise than the agent would start it now, as far as can be seen from here", p.Name)
		}
	}
	for _, p := range after {
		switch was, runs := running[p.Name]; {
		case !runs:
			f.Effects[p.Name] = Starts
		case was != p.Digest() && !f.started.Has(p):
			f.Effects[p.Name] = Restarts
		}
		delete(running, p.Name)
	}
	for name := range running {
		f.Effects[name] = Stops
	}
}

// present is the API server that the components speak to: the one that a generation names may never have answered.
func (f *forecast) present(now *generation.Generation) server {
	if s := f.opts.answered(); s != (server{}) {
		return s
	}
	return serverOf(now.Spec.Cluster)
}

// servers tells the components that are restarted once another API server has answered.
func (f *forecast) servers(before, after server, processes []supervise.Process) {
	for _, name := range unaware(before, after, false) {
		runs := slices.ContainsFunc(processes, func(p supervise.Process) bool { return p.Name == name })
		if runs && f.Effects[name] == "" {
			f.Effects[name] = Restarts
		}
	}
}

// byTable takes what the table says restarts for what may, of what depends on the bundle alone if only is true.
func (f *forecast) byTable(only bool) {
	for _, c := range f.Changes {
		if only && c.Field != "version" && !c.ByContent {
			continue
		}
		for _, name := range c.Components {
			f.Effects[name] = MayRestart
		}
	}
}

// attribute leaves with each change those of its components that something becomes of.
func (p *Prediction) attribute() {
	for i, c := range p.Changes {
		p.Changes[i].Components = slices.DeleteFunc(slices.Clone(c.Components), func(name string) bool {
			return name != disruption.ComponentAgent && p.Effects[name] == ""
		})
	}
}
