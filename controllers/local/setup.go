package local

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/controllers/local/machine"
)

// SetupWithManager registers the provider's reconciler. The ends of machines are watched until ctx is done; the machines
// live on.
func (p *Provider) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if p.Root == "" || p.AgentBinary == "" {
		return errors.New("set up the local provider: it needs --local-root and --agent-binary")
	}
	ends := p.prepare(ctx)
	if err := mgr.Add(&orphanage{reader: p.APIReader, machines: p.machines, log: ctrl.Log.WithName("local")}); err != nil {
		return err
	}
	r := p.reconciler()
	r.Watch = func(b *ctrl.Builder) { b.WatchesRawSource(source.Channel(ends, &handler.EnqueueRequestForObject{})) }
	return r.SetupWithManager(ctx, mgr)
}

// prepare fills in what the fields do not say.
func (p *Provider) prepare(ctx context.Context) <-chan event.GenericEvent {
	if p.Host == nil {
		p.Host = machine.LinuxHost{}
	}
	p.machines = &machine.Machines{Root: p.Root, AgentBinary: p.AgentBinary, SharedBundles: p.SharedBundles,
		CgroupParent: p.CgroupParent, Host: p.Host, Log: ctrl.Log.WithName("local")}
	ends := make(chan event.GenericEvent)
	p.watcher = &watcher{ctx: ctx, host: p.Host, ends: ends, watched: map[types.NamespacedName]machine.Process{}}
	return ends
}

func (p *Provider) reconciler() *infra.Reconciler[*v1alpha1.LocalMachine] {
	return &infra.Reconciler[*v1alpha1.LocalMachine]{Client: p.Client, APIReader: p.APIReader, Recorder: p.Recorder,
		Provider: p, Published: p.Published, MaxConcurrentReconciles: p.MaxConcurrentReconciles}
}
