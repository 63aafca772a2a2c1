package local

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"syscall"

	"k8s.io/client-go/tools/events"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/controllers/local/machine"
)

// Provider makes each LocalMachine real.
type Provider struct {
	// Client reads through the manager's cache and writes.
	Client client.Client
	// APIReader reads live.
	APIReader client.Reader
	// Recorder takes the events.
	Recorder events.EventRecorder
	// Root is the directory of all machines: --local-root.
	Root string
	// Published brings LocalMachines back whose bootstrap Secret was written.
	Published *infra.Published
	// AgentBinary is the drover-agent put onto machines.
	AgentBinary string
	// SharedBundles is the directory of unpacked bundles that machines see read-only. It is made if need be; empty
	// is none.
	SharedBundles string
	// CgroupParent is the cgroup that all machines' cgroups are in. Default: machine.DefaultCgroupParent.
	CgroupParent string
	// Host is what machines are made of. Default: this one.
	Host machine.Host
	// MaxConcurrentReconciles is how many machines are worked on at once. Default: infra's.
	MaxConcurrentReconciles int

	machines *machine.Machines
	watcher  *watcher
}

var _ infra.Provider[*v1alpha1.LocalMachine] = &Provider{}

// +kubebuilder:rbac:groups=fleet.drover.dev,resources=localmachines,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=localmachines/status,verbs=patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=localmachines/finalizers,verbs=update

// Kind implements infra.Provider.
func (p *Provider) Kind() infra.Kind[*v1alpha1.LocalMachine] {
	return infra.Kind[*v1alpha1.LocalMachine]{
		Name:             "LocalMachine",
		Finalizer:        v1alpha1.LocalMachineFinalizer,
		ProviderIDPrefix: v1alpha1.LocalProviderIDPrefix,
		New:              func() *v1alpha1.LocalMachine { return &v1alpha1.LocalMachine{} },
		NewList:          func() client.ObjectList { return &v1alpha1.LocalMachineList{} },
		Contract: func(lm *v1alpha1.LocalMachine) infra.Contract {
			return infra.Contract{ProviderID: &lm.Spec.ProviderID, Conditions: &lm.Status.Conditions, Addresses: &lm.Status.Addresses,
				ObservedGeneration: &lm.Status.ObservedGeneration, Provisioned: &lm.Status.Initialization.Provisioned}
		},
	}
}

// Ensure implements infra.Provider: it takes seconds, so one step makes a machine.
func (p *Provider) Ensure(ctx context.Context, lm *v1alpha1.LocalMachine, bootstrap []byte) (infra.State, error) {
	lm.Status.PID = nil
	want := wanted(lm)
	want.Bootstrap = bootstrap
	if bootstrap == nil && !p.machines.Exists(want.Key) {
		return infra.State{Reason: v1alpha1.ReasonStopped,
			Message: "The machine's directory is gone from the host, and its identity with it: delete its Machine to have it replaced."}, nil
	}
	state, err := p.machines.Ensure(ctx, want)
	if err != nil {
		return infra.State{}, explain(err)
	}
	if !state.Running {
		return infra.State{Reason: v1alpha1.ReasonStopped, RequeueAfter: state.RetryAfter,
			Message: "The machine keeps ending by itself, so its next start is put off: console.log in its directory on the host may say why."}, nil
	}
	if err := p.watcher.watch(want.Key, state.Process); err != nil {
		return infra.State{}, err
	}
	seen := infra.State{Reason: v1alpha1.ReasonProvisioned, Provisioned: true, Addresses: []clusterv1.MachineAddress{
		{Type: clusterv1.MachineInternalIP, Address: state.Address.String()},
		{Type: clusterv1.MachineHostName, Address: lm.Name},
	}}
	if lm.Status.BootID != "" && lm.Status.BootID != state.BootID {
		seen.Happened = []infra.Event{{Reason: v1alpha1.ReasonRebooted, Message: "The machine was started again"}}
	}
	pid := int32(state.Process.PID) // The kernel's limit is 2^22.
	lm.Status.PID, lm.Status.BootID = &pid, state.BootID
	return seen, nil
}

// Remove implements infra.Provider.
func (p *Provider) Remove(ctx context.Context, lm *v1alpha1.LocalMachine) (infra.Removal, error) {
	if err := p.machines.Remove(ctx, client.ObjectKeyFromObject(lm)); err != nil {
		return infra.Removal{}, explain(err)
	}
	return infra.Removal{Gone: true}, nil
}

// BootReport implements infra.Provider: a file is read.
func (p *Provider) BootReport(_ context.Context, lm *v1alpha1.LocalMachine) ([]byte, error) {
	report, err := p.machines.ReadInside(client.ObjectKeyFromObject(lm), node.BootReportPath)
	// Of a machine that ended just now its next look tells.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, nil
	}
	return report, err
}

// explain gives a problem that a user can mend the reason it has on the LocalMachine.
func explain(err error) error {
	var problem *machine.Problem
	if !errors.As(err, &problem) {
		return err
	}
	if problem.NoAddress {
		return &infra.Problem{Reason: v1alpha1.ReasonAddressesExhausted, Message: problem.Message}
	}
	return infra.ProvisionFailed(problem.Message)
}

// wanted is the machine that a LocalMachine asks for, less its bootstrap document. Addresses are as the schema
// checked them; an unset one is the zero Addr, which is the default.
func wanted(lm *v1alpha1.LocalMachine) machine.Wanted {
	want := machine.Wanted{Key: client.ObjectKeyFromObject(lm), UID: string(lm.UID), Bridge: lm.Spec.Network.Bridge}
	if want.Bridge == "" {
		want.Bridge = "drover0"
	}
	want.Range.First, _ = netip.ParseAddr(lm.Spec.Network.FirstAddress)
	want.Range.Last, _ = netip.ParseAddr(lm.Spec.Network.LastAddress)
	if lm.Spec.CPUs != nil {
		want.Limits.CPUs = *lm.Spec.CPUs
	}
	if lm.Spec.Memory != nil {
		want.Limits.MemoryBytes = lm.Spec.Memory.Value()
	}
	return want
}
