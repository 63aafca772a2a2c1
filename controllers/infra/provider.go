package infra

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Provider makes machines of one kind real. Its methods may write fields of the machine's status that are the kind's own;
// the reconciler persists them together with the contract's. They are called for one machine at a time.
type Provider[M client.Object] interface {
	// Kind is what machines are called and how they are read.
	Kind() Kind[M]
	// Ensure brings the machine a step further, or sees that it is as it should be. It may be called again after a crash
	// at any point of it. The bootstrap document is complete, and nil once the machine is provisioned. A *Problem is for
	// the user to mend and is tried again now and then, another error with backoff. The context ends when the machine is
	// deleted, too: Remove comes next.
	Ensure(ctx context.Context, machine M, bootstrap []byte) (State, error)
	// Remove takes the machine apart. It may take many calls, of which each says what it waits for.
	Remove(ctx context.Context, machine M) (Removal, error)
	// BootReport is what the machine's agent left at node.BootReportPath, empty if there is nothing. It is asked while the
	// machine has no Node. An error means that nobody can tell, and is told: a *Problem by its own reason.
	BootReport(ctx context.Context, machine M) ([]byte, error)
}

// Kind is a provider's kind of machines.
type Kind[M client.Object] struct {
	// Name is the kind's, of this project's API group.
	Name string
	// Finalizer keeps a machine's object until there is nothing left of the machine.
	Finalizer string
	// ProviderIDPrefix and "<namespace>/<name>" make a machine's provider ID.
	ProviderIDPrefix string
	// New is an object without a name, NewList a list of them.
	New     func() M
	NewList func() client.ObjectList
	// Contract are the fields of a machine that the contract names.
	Contract func(M) Contract
}

// Contract points into an object, to the fields that the contract names.
type Contract struct {
	ProviderID         *string
	Conditions         *[]metav1.Condition
	ObservedGeneration *int64
	Provisioned        **bool
	Addresses          *[]clusterv1.MachineAddress
}

// State is a machine as a provider finds it.
type State struct {
	// Reason and Message are the Ready condition's. It is True with v1alpha1.ReasonProvisioned only.
	Reason, Message string
	// Waiting says that nothing is wrong: the machine is on its way. Otherwise a reason but ReasonProvisioned is also told
	// as a warning, once.
	Waiting bool
	// Provisioned says that the machine is made. That is never taken back.
	Provisioned bool
	// Addresses are the machine's, empty if they are as before.
	Addresses []clusterv1.MachineAddress
	// RequeueAfter is how soon to look again without an event, zero for never.
	RequeueAfter time.Duration
	// Happened is told as events.
	Happened []Event
}

// Event is something that happened to a machine, none of it trouble.
type Event struct{ Reason, Message string }

// Removal is how far the removal of a machine is.
type Removal struct {
	// Gone says that nothing is left of the machine, so that its object may go.
	Gone bool
	// Reason and Message say on the Ready condition what the removal waits for.
	Reason, Message string
	// Waiting says that nothing is wrong, as in State.
	Waiting bool
	// RequeueAfter is how soon to try again without an event, zero for never.
	RequeueAfter time.Duration
}

// Problem is an error that a user can do something about: it becomes a condition with Reason.
type Problem struct {
	// Reason is one of v1alpha1's.
	Reason string
	// Message is a sentence.
	Message string
}

// Error implements error.
func (p *Problem) Error() string { return p.Message }

// ProvisionFailed is the problem of a machine that cannot be made, with a sentence that says why.
func ProvisionFailed(message string) error {
	return &Problem{Reason: v1alpha1.ReasonProvisionFailed, Message: message}
}
