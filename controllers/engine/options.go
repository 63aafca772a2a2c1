package engine

import "time"

// Mode says who runs Cluster API's reconcilers.
type Mode string

const (
	// Embedded runs them in the manager's process.
	Embedded Mode = "embedded"
	// External leaves them to a Cluster API core that somebody else installed. That core needs a kubeconfig Secret
	// <namespace>/drover-kubeconfig in each namespace with a pool, as for any externally managed control plane.
	External Mode = "external"
)

const (
	// Conditions about the Node become Unknown after this long without a successful probe.
	remoteConditionsGracePeriod = 5 * time.Minute
	remoteConnectionGracePeriod = 50 * time.Second

	defaultMachineConcurrency = 50
	clusterConcurrency        = 5
)

// Options configures Setup.
type Options struct {
	// Mode says who runs Cluster API's reconcilers. Default: Embedded.
	Mode Mode
	// MachineConcurrency is how many Machines are reconciled at once. Default: 50; most of a reconcile is waiting for
	// the API server.
	MachineConcurrency int
	// ProbeInterval is the time between two probes of the API server. Default: 10 seconds.
	ProbeInterval time.Duration
}

func (o Options) withDefaults() Options {
	if o.Mode == "" {
		o.Mode = Embedded
	}
	if o.MachineConcurrency == 0 {
		o.MachineConcurrency = defaultMachineConcurrency
	}
	if o.ProbeInterval == 0 {
		o.ProbeInterval = defaultProbeInterval
	}
	return o
}
