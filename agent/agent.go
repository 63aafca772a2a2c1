package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/drift"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/kernel"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/membership"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/proxyrules"
	"github.com/drover-dev/drover/agent/repair"
	"github.com/drover-dev/drover/agent/report"
	"github.com/drover-dev/drover/agent/selfupdate"
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
	// Balancer is where the kubelet and kube-proxy find the balancer, where there are several API servers. Default: 127.0.0.1:10247.
	Balancer string
	// Version is the agent's own.
	Version string
	// Ready, when set, is called when this agent is here to stay: a new version, when it has proved itself.
	Ready func()
	Log   logr.Logger
}

// SharedBundlesDir is where a machine's host may mount bundles it shares, below the state directory.
const SharedBundlesDir = "shared-bundles"

func (o Options) withDefaults() Options {
	for field, value := range map[*string]string{
		&o.BootstrapPath: node.BootstrapPath, &o.StateDir: node.StateDir, &o.RunDir: node.RunDir, &o.Balancer: balancerAddress,
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
	proxy     *proxyrules.Keeper
	drift     *drift.Keeper
	applied   applied
	// unitsBrought says that the systemd units are this agent's.
	unitsBrought atomic.Bool
	monitor      *health.Monitor
	installer    *generation.Installer
	reporter     *report.Reporter
	timeline     *status.Timeline
	boot         *bootreport.Reporter
	members      *membership.Membership
	paths        component.Paths
	updater      *selfupdate.Updater
	repair       *repair.Keeper
	reported     atomic.Bool // this agent has written to the API server

	started    time.Time // when this agent was
	bootstrap  *node.Bootstrap
	restarted  bool          // an earlier agent had an identity already
	settledIn  bool          // it had a state installed as well, so that its kubelet has been at work
	joined     chan struct{} // closed when there is an identity
	introduced chan struct{} // closed when the kubelet has one too, or must ask for it itself
	claimed    chan struct{} // closed when the components' directories are known to be the agent's
	claimOnce  sync.Once
	dirty      chan struct{} // something that the status shows has changed
	switched   chan struct{} // another generation may run
	rebuild    func()        // called when something that the components' configuration depends on has changed

	begun    atomic.Pointer[work] // what was begun last
	prepared atomic.Pointer[work] // what the machine was made ready for last

	seen   sightings
	served served
	moved  chan struct{} // another API server is present

	balancing atomic.Pointer[balancing]
	api       atomic.Pointer[kubeapi.Client] // nil before there is an identity
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
	generations, state, err := generation.Open(opts.StateDir, boot.NodeName)
	if err != nil {
		return nil, err
	}
	first, kept := generation.First(boot), state.Kept()
	if kept != nil {
		boot.Spec.Cluster = kept.Spec.Cluster
	}
	reporter := &report.Reporter{Node: boot.NodeName, Log: opts.Log.WithName("report"), Clock: clock.RealClock{}}
	processes, err := supervise.New(supervise.Options{
		Excused: func(name string) bool { return name == v1alpha1.ComponentKubeProxy && reporter.Unanswered() },
		RunDir:  opts.RunDir, Log: opts.Log.WithName("supervise"), OwnLog: filepath.Join(component.DefaultPaths().LogDir, "agent.log"),
	})
	if err != nil {
		return nil, err
	}
	system := host.NewSystem()
	a := &Agent{
		opts: opts, log: opts.Log, system: system, kernel: kernel.Of(system, opts.RunDir), supervise: processes,
		reporter:  reporter,
		timeline:  status.NewTimeline(time.Now),
		boot:      bootreport.New(opts.RunDir, opts.Log),
		paths:     opts.paths(system),
		started:   time.Now(),
		bootstrap: boot,
		monitor:   health.New(processes, opts.Log.WithName("health")),
		joined:    make(chan struct{}), introduced: make(chan struct{}), claimed: make(chan struct{}), dirty: make(chan struct{}, 1),
		switched: make(chan struct{}, 1),
	}
	a.installer = &generation.Installer{
		NewWork: a.newWork, Judge: a.judgeNode, Hindered: a.hinder, Changed: func() { wake(a.dirty); wake(a.switched) }, Log: opts.Log.WithName("install"),
	}
	a.installer.Begin(generations, state, first)
	a.rebuild = a.installer.Rebuild
	a.begun.Store(&work{agent: a})
	a.restarted = hadIdentity(a.identityPaths(), boot.NodeName, kept)
	a.settledIn = a.restarted && kept != nil
	a.members = membership.New(membership.Options{
		Node: boot.NodeName, Ask: a.restarted && !processes.Knows(v1alpha1.ComponentKubelet), Log: opts.Log.WithName("membership"),
		Unheard: slices.Contains(processes.Arguments(v1alpha1.ComponentKubelet), component.RegisterNoNode),
		Machine: a.machineUID, Again: a.registerAgain, Changed: a.membershipChanged, Unanswered: a.unheard,
	})
	boot.Spec.Cluster.Server, boot.Spec.Cluster.ServerCA = a.present().URL, a.present().CA
	a.moved = make(chan struct{}, 1)
	a.network = &network.Manager{
		StateDir: opts.StateDir, CNIDir: a.paths.CNIConfDir, Kernel: network.NewKernel(), Log: opts.Log.WithName("network"),
		Changed: func() { a.monitor.Recheck(v1alpha1.NetworkHealthyCondition); wake(a.dirty); a.rebuild() },
	}
	a.proxy = a.newProxyKeeper()
	reporter.Answered = a.serverIsBack
	a.updater = a.newUpdater()
	if a.updater.Programs.OnTrial() != "" {
		a.installer.Hold() // until it has proved itself
	}
	a.repair = a.newRepairKeeper()
	a.reporter.Written = func(int) { a.reported.Store(true) }
	a.drift = a.newDriftKeeper()
	return a, nil
}

// hadIdentity says whether an earlier agent had an identity. One whose certificate has ended since then is no reason to
// stop what that agent started.
func hadIdentity(paths identity.Paths, node string, kept *generation.Generation) bool {
	if _, err := identity.Load(paths, node, time.Now()); err == nil {
		return true
	}
	_, err := os.Stat(paths.Pair())
	return err == nil && kept != nil
}

func (a *Agent) identityPaths() identity.Paths { return identity.Paths{StateDir: a.opts.StateDir} }

// Run lives until the context ends. The node's components go on running then, for the next agent to adopt. It
// returns early only when this machine can never become the node it is told to be, or another agent is to have its place
// (selfupdate.ErrRestart, selfupdate.ErrGivenUp).
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel(nil)
	for name, part := range map[string]func(context.Context) error{
		"supervise": a.supervise.Run,
		"identity":  a.join,
		"offline":   func(ctx context.Context) error { a.members.Await(ctx); return nil },
		"install":   func(ctx context.Context) error { a.installer.Run(ctx); return nil },
		"status":    a.keepStatus,
		"balance":   a.balance,
		"proxy":     a.keepProxyRules,
		"network":   func(ctx context.Context) error { a.network.Run(ctx); return nil },
		"update":    a.updater.Run,
		"repair":    func(ctx context.Context) error { a.repair.Run(ctx); return nil },
		"drift":     func(ctx context.Context) error { a.drift.Run(ctx); return nil },
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

// hinder passes on why the components do not run, or with nil that nothing stands in their way.
func (a *Agent) hinder(o *generation.Obstacle) {
	if o != nil {
		a.boot.Say(bootreport.PhaseInstall, o.Reason, o.Message)
	} else {
		a.boot.Overcome(bootreport.PhaseInstall)
	}
	wake(a.dirty)
}

func (a *Agent) bundles(cluster v1alpha1.ClusterSettings) *bundle.Store {
	store := a.opts.bundles()
	store.Roots, store.Log = func() *x509.CertPool { return roots(cluster.ServerCA) }, a.log.WithName("bundle")
	return store
}

// bundles is where the machine's are, without what it takes to fetch one.
func (o Options) bundles() *bundle.Store {
	return &bundle.Store{Root: filepath.Join(o.StateDir, "bundles"), Shared: []string{filepath.Join(o.StateDir, SharedBundlesDir)}}
}

// paths are where the components' files are.
func (o Options) paths(system *host.System) component.Paths {
	paths := component.DefaultPaths()
	paths.AgentKubeconfig = identity.Paths{StateDir: o.StateDir}.Kubeconfig()
	paths.ResolvConf = system.ResolvConf()
	return paths
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

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wake makes a channel readable unless it is already.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
