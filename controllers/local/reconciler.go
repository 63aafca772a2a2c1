package local

import (
	"context"

	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Reconciler makes each LocalMachine real.
type Reconciler struct {
	// Client reads through the manager's cache and writes.
	Client client.Client
	// APIReader reads live: bootstrap Secrets are not cached.
	APIReader client.Reader
	// Recorder takes the events.
	Recorder events.EventRecorder
	// Root is the directory of all machines: --local-root.
	Root string
	// AgentBinary is the drover-agent put onto machines.
	AgentBinary string
	// SharedBundles is the directory of unpacked bundles that machines see read-only. It may not exist yet.
	SharedBundles string
	// CgroupParent is the cgroup that all machines' cgroups are in. Default: drover.
	CgroupParent string
	// MaxConcurrentReconciles is how many machines are worked on at once. Default: 10.
	MaxConcurrentReconciles int
}

// SetupWithManager registers the reconciler.
func (r *Reconciler) SetupWithManager(_ context.Context, _ ctrl.Manager) error {
	return nil
}
