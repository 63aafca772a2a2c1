package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/kernel"
	"github.com/drover-dev/drover/agent/membership"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/report"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Options say where things are; the zero value of each is a node's own place for it.
type Options struct {
	// BootstrapPath is the bootstrap document. Default: node.BootstrapPath.
	BootstrapPath string
	// StateDir survives a reboot. Default: node.StateDir.
	StateDir string
	// RunDir does not. Default: node.RunDir.
	RunDir string
	// NodeIP, when it is valid, is the node's address whatever the route to the API server says.
	NodeIP netip.Addr
	// Version is the agent's own.
	Version string
	Log     logr.Logger
}

// SharedBundlesDir is where a machine's host may mount bundles it shares, below the state directory.
const SharedBundlesDir = "shared-bundles"

func (o Options) withDefaults() Options {
	for field, value := range map[*string]string{
		&o.BootstrapPath: node.BootstrapPath, &o.StateDir: node.StateDir, &o.RunDir: node.RunDir,
	} {
		if *field == "" {
			*field = value
		}
	}
	return o
}

// Agent is one node's agent.
type Agent struct {
	opts      Options
	log       logr.Logger
	system    *host.System
	kernel    *kernel.Kernel
	supervise *supervise.Supervisor
	network   *network.Manager
	reporter  *report.Reporter
	timeline  *status.Timeline
	boot      *bootreport.Reporter
	members   *membership.Membership
	paths     component.Paths

	started    time.Time // when this agent was
	bootstrap  *node.Bootstrap
	restarted  bool          // an earlier agent had an identity already
	settledIn  bool          // it had a state installed as well, so that its kubelet has been at work
	joined     chan struct{} // closed when there is an identity
	introduced chan struct{} // closed when the kubelet has one too, or must ask for it itself
	claimed    chan struct{} // closed when the components' directories are known to be the agent's
	claimOnce  sync.Once
	wanted     chan *generation
	dirty      chan struct{} // something that the status shows has changed
	rebuild    chan struct{} // something that the components' configuration depends on has changed

	seen sightings

	mu        sync.Mutex
	current   *generation // what is installed, or what the last agent had installed
	newest    *generation // what is wanted
	committed *generation // what this agent or an earlier one activated last, nil on a new machine
	flawed    bool        // the committed state was activated although the preflight found errors
	facts     host.Facts
	bundle    *bundle.Bundle
	findings  []v1alpha1.Finding
	hindrance *status.Obstacle
	activated bool // some state is installed
}

// New reads what is on disk. It fails when the machine was never told what node it is, or what is there cannot be read, and
// says so in the boot report: nobody else looks at an agent that ends at once, however often it is started.
func New(opts Options) (*Agent, error) {
	opts = opts.withDefaults()
	a, err := load(opts)
	if err != nil {
		bootreport.New(opts.RunDir, opts.Log).Say(bootreport.PhaseBootstrap, v1alpha1.ReasonBootFailed, err.Error())
	}
	return a, err
}

func load(opts Options) (*Agent, error) {
	boot, err := loadBootstrap(opts.BootstrapPath)
	if err != nil {
		return nil, err
	}
	committed, err := loadCommitted(opts.StateDir, boot.NodeName)
	if err != nil {
		return nil, err
	}
	current := committed
	if current == nil {
		current = firstGeneration(boot)
	}
	boot.Spec.Cluster = current.Spec.Cluster
	processes, err := supervise.New(supervise.Options{
		RunDir: opts.RunDir, Log: opts.Log.WithName("supervise"), OwnLog: filepath.Join(component.DefaultPaths().LogDir, "agent.log"),
	})
	if err != nil {
		return nil, err
	}
	system := host.NewSystem()
	a := &Agent{
		opts: opts, log: opts.Log, system: system, kernel: kernel.Of(system), supervise: processes,
		reporter:  &report.Reporter{Node: boot.NodeName, Log: opts.Log.WithName("report"), Clock: clock.RealClock{}},
		timeline:  status.NewTimeline(time.Now),
		boot:      bootreport.New(opts.RunDir, opts.Log),
		paths:     component.DefaultPaths(),
		started:   time.Now(),
		bootstrap: boot, current: current, newest: current, committed: committed,
		joined: make(chan struct{}), introduced: make(chan struct{}), claimed: make(chan struct{}),
		wanted: make(chan *generation, 1), dirty: make(chan struct{}, 1), rebuild: make(chan struct{}, 1),
	}
	a.restarted = hadIdentity(a.identityPaths(), boot.NodeName, committed)
	a.settledIn = a.restarted && committed != nil
	a.members = membership.New(membership.Options{
		Node: boot.NodeName, Ask: a.restarted && !processes.Knows(v1alpha1.ComponentKubelet), Log: opts.Log.WithName("membership"),
		Machine: a.machineUID, Again: a.registerAgain, Changed: a.membershipChanged,
	})
	a.paths.AgentKubeconfig = a.identityPaths().Kubeconfig()
	a.paths.ResolvConf = a.system.ResolvConf()
	a.network = &network.Manager{
		StateDir: opts.StateDir, CNIDir: a.paths.CNIConfDir, Kernel: network.NewKernel(), Log: opts.Log.WithName("network"),
		Changed: func() { wake(a.dirty); wake(a.rebuild) },
	}
	return a, nil
}

// hadIdentity says whether an earlier agent had an identity. One whose certificate has ended since then is no reason to
// stop what that agent started.
func hadIdentity(paths identity.Paths, node string, committed *generation) bool {
	if _, err := identity.Load(paths, node, time.Now()); err == nil {
		return true
	}
	_, err := os.Stat(paths.Pair())
	return err == nil && committed != nil
}

func (a *Agent) identityPaths() identity.Paths { return identity.Paths{StateDir: a.opts.StateDir} }

// Run lives until the context ends. The node's components go on running then, for the next agent to adopt. It
// returns early only when this machine can never become the node it is told to be.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel(nil)
	for name, part := range map[string]func(context.Context) error{
		"supervise": a.supervise.Run,
		"identity":  a.join,
		"install":   a.install,
		"status":    a.keepStatus,
		"network":   func(ctx context.Context) error { a.network.Run(ctx); return nil },
	} {
		parts.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// step notes a step of joining.
func (a *Agent) step(name string) {
	if a.timeline.Done(name) {
		a.log.Info("Finished a step", "step", name)
		wake(a.dirty)
	}
}

// hinder says why the components do not run, or with nil that nothing stands in their way.
func (a *Agent) hinder(o *status.Obstacle) {
	a.mu.Lock()
	if o != nil {
		o.Running = a.activated
	}
	a.hindrance = o
	a.mu.Unlock()
	if o != nil {
		a.log.Info("Could not start the node's components", "reason", o.Reason, "message", o.Message)
		a.boot.Say(bootreport.PhaseInstall, o.Reason, o.Message)
	} else {
		a.boot.Overcome(bootreport.PhaseInstall)
	}
	wake(a.dirty)
}

func (a *Agent) bundles(cluster v1alpha1.ClusterSettings) *bundle.Store {
	return &bundle.Store{
		Root:   filepath.Join(a.opts.StateDir, "bundles"),
		Shared: []string{filepath.Join(a.opts.StateDir, SharedBundlesDir)},
		Roots:  func() *x509.CertPool { return roots(cluster.ServerCA) },
		Log:    a.log.WithName("bundle"),
	}
}

// overcome takes an obstacle of a kind out of the way.
func (a *Agent) overcome(reason string) {
	a.mu.Lock()
	is := a.hindrance != nil && a.hindrance.Reason == reason
	a.mu.Unlock()
	if is {
		a.hinder(nil)
	}
}

// wake makes a channel readable unless it is already.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
