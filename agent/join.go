package agent

import (
	"context"
	"sync"
	"time"

	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/nodes"
	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// lostNodePatience is how long the own Node may be gone before it is asked whether the kubelet is to register it again.
const lostNodePatience = 5 * time.Second

// introductionPatience is how long the kubelet's start waits for its certificate.
const introductionPatience = 5 * time.Second

// identityRetries are the waits of a node whose agent has no identity of use, and no means to get one.
var identityRetries = backoff.Doubling(time.Second, time.Minute)

// join gets the identity and then does all that needs one, until the context ends.
func (a *Agent) join(ctx context.Context) error {
	id, api, err := a.identify(ctx)
	if err != nil {
		return err
	}
	a.step(status.StepIdentity)
	a.boot.End()
	close(a.joined)
	a.api.Store(api)
	wake(a.moved) // the cluster may have more API servers than one
	a.rebuild()

	var parts sync.WaitGroup
	defer parts.Wait()
	renewer := &identity.Renewer{API: api, Clock: clock.RealClock{}, Log: a.log.WithName("identity"), Failed: a.renewalFailed}
	parts.Go(func() { a.followServer(ctx, api) })
	parts.Go(func() { a.rejoin(ctx, api) })
	parts.Go(func() { a.introduceKubelet(ctx, api) })
	parts.Go(func() { a.reporter.Run(ctx, api) })
	parts.Go(func() { renewer.Run(ctx, id) })
	parts.Go(func() { a.members.Run(ctx, api) })
	// An API server that is away is asked by the membership every few seconds, and by a watch ever less often: up to a minute would
	// be lost when it is back.
	if !a.members.Heard(ctx) {
		return nil
	}
	parts.Go(func() { a.watchNodeAgent(ctx, api.NodeAgents(a.bootstrap.NodeName)) })
	return a.nodes().Run(ctx, api.Nodes())
}

// identify gets the identity, and what speaks to the API server with it. That a machine which never had one can get none is an
// error. One that is a node goes on without: its components are looked after, whatever became of the agent's certificate, and
// a certificate or a bootstrap document that is put there is found.
func (a *Agent) identify(ctx context.Context) (*identity.Identity, *kubeapi.Client, error) {
	a.boot.Say(bootreport.PhaseIdentity, "", "Asking "+a.bootstrap.Spec.Cluster.Server+" for the agent's certificate")
	for waits := identityRetries; ; {
		id, api, err := a.tryToIdentify(ctx)
		if err == nil || ctx.Err() != nil {
			return id, api, err
		}
		if !a.restarted {
			a.boot.Say(bootreport.PhaseIdentity, v1alpha1.ReasonJoinFailed, err.Error())
			return nil, nil, err
		}
		a.log.Error(err, "Went on without the API server", "node", a.bootstrap.NodeName)
		a.boot.Say(bootreport.PhaseIdentity, v1alpha1.ReasonJoinFailed, err.Error()+
			"; what runs on this machine goes on meanwhile, and it joins again with a bootstrap document that has a new join token")
		if err := backoff.Wait(ctx, waits.Step()); err != nil {
			return nil, nil, err
		}
	}
}

// tryToIdentify joins where the bootstrap document has a token. It may be a new one, of an agent whose identity is lost: then it says
// as well where the API server is by now.
func (a *Agent) tryToIdentify(ctx context.Context) (*identity.Identity, *kubeapi.Client, error) {
	with, present := *a.bootstrap, a.present()
	_, lost := identity.Load(a.identityPaths(), a.bootstrap.NodeName, time.Now())
	if again, err := loadBootstrap(a.opts.BootstrapPath); err == nil && again.NodeName == a.bootstrap.NodeName && again.Token != "" {
		a.bootstrap.Token, with.Token = again.Token, again.Token
		if lost != nil {
			with.Spec.Cluster = again.Spec.Cluster
		}
	}
	id, err := a.joiner(&with, func(reason string, err error) { a.boot.Say(bootreport.PhaseIdentity, reason, err.Error()) }).Ensure(ctx)
	if err != nil {
		return nil, nil, err
	}
	a.bootstrap.Token = ""
	if joined := serverOf(with.Spec.Cluster); joined != present {
		if err := a.moveTo(ctx, joined); err != nil {
			return nil, nil, err
		}
		a.keepServer(joined)
	}
	api, err := kubeapi.New(a.configOf(a.present()))
	return id, api, err
}

func (a *Agent) joiner(document *node.Bootstrap, failed func(reason string, err error)) *identity.Joiner {
	return &identity.Joiner{
		Paths: a.identityPaths(), Bootstrap: document, Through: a.through(), BootstrapPath: a.opts.BootstrapPath, Log: a.log.WithName("identity"),
		Failed: failed,
	}
}

// introduceKubelet gets the kubelet of a new node its certificate while the bundle is looked at and containerd starts.
// A kubelet that starts without one asks for it itself, but is anonymous meanwhile and waits a second or two before it
// tries again what was refused.
func (a *Agent) introduceKubelet(ctx context.Context, api identity.API) {
	defer a.rebuild()
	defer close(a.introduced)
	select {
	case <-a.claimed: // the certificate's place may be another kubelet's
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(ctx, introductionPatience)
	defer cancel()
	if err := a.kubelet().Introduce(ctx, api, a.present().settings(), a.through()); err != nil {
		a.log.Error(err, "Left it to the kubelet to ask for its certificate")
	}
}

func (a *Agent) nodes() *nodes.Watch {
	return &nodes.Watch{
		Self: a.bootstrap.NodeName,
		// A kubelet that was at work has registered its Node; one that was not that far yet loses nothing by a restart.
		Known:      a.settledIn,
		Changed:    a.network.SetNodes,
		Registered: func() { a.members.SawNode(); a.setNode(health.Present); a.step(status.StepNodeRegistered) },
		Absent:     func() { a.setNode(health.Absent) },
		Ready:      a.nodeReady,
		Lost:       a.members.MissNode,
		Patience:   lostNodePatience,
	}
}

// registerAgain has the kubelet started anew, as it registers its Node only when it starts.
func (a *Agent) registerAgain() {
	a.supervise.Restart(v1alpha1.ComponentKubelet, "its Node was deleted")
}

// machineUID is that of the Machine that this machine joined as, empty when it is not known.
func (a *Agent) machineUID() string {
	return a.installer.Wanted().MachineUID
}

// unheard has the kubelet started although nobody could say whether its Node is wanted.
func (a *Agent) unheard() {
	a.log.Info("Started the kubelet without the API server, for its static pods; it registers no Node before that has answered", "node", a.bootstrap.NodeName)
	a.rebuild()
}

// membershipChanged starts or stops the kubelet. There is no NodeAgent to tell of a Node that nobody wants, so the boot
// report does.
func (a *Agent) membershipChanged(unwanted string) {
	if unwanted == "" {
		a.log.Info("Let the kubelet register its Node", "node", a.bootstrap.NodeName)
		a.boot.End()
	} else {
		a.log.Info("Stopped the kubelet because nobody wants its Node", "node", a.bootstrap.NodeName, "reason", unwanted)
		a.boot.Resume()
		a.boot.Say(bootreport.PhaseRegister, v1alpha1.ReasonNodeNotWanted, "The kubelet is stopped, so that this machine becomes no node again: "+unwanted+
			". Pods that run here go on until the machine is reset (drover-agent reset) or removed.")
	}
	a.rebuild()
}

// watchNodeAgent passes on what the manager wants.
func (a *Agent) watchNodeAgent(ctx context.Context, agents cache.ListerWatcher) {
	first := true
	saw := func(obj any) {
		agent, ok := obj.(*v1alpha1.NodeAgent)
		if !ok {
			return
		}
		a.members.SawAgent()
		if uid := agent.Labels[v1alpha1.MachineUIDLabel]; uid != "" && a.machineUID() != "" && uid != a.machineUID() {
			a.log.Info("Ignored a NodeAgent that is another Machine's", "nodeAgent", agent.Name, "machineUID", uid)
			return
		}
		if first {
			first = false
			a.reporter.Seed(agent.Status.Conditions)
		}
		a.reporter.Saw(agent)
		a.installer.Want(agent)
		a.updater.Want(agent.Spec.Agent)
		a.repair.Want(agent.Spec.Repair)
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: agents, ObjectType: &v1alpha1.NodeAgent{}, Transform: withoutManagedFields,
		Handler: cache.ResourceEventHandlerFuncs{AddFunc: saw, UpdateFunc: func(_, obj any) { saw(obj) }},
	})
	informer.RunWithContext(ctx)
}

func withoutManagedFields(obj any) (any, error) {
	if o, ok := obj.(apimeta.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}
