package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/firstseen"
	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/controllers/infra"
)

const (
	// claimRetry is how soon a claim that another one was quicker with is tried again.
	claimRetry = time.Second
	// releaseRecheck is how often the cleaning of a Host is looked at without an event.
	releaseRecheck = 10 * time.Second
	// provisionedRecheck is how often a machine is compared with its Host without an event.
	provisionedRecheck = 5 * time.Minute
	// maxQuarantine is how much of a reason an annotation has, in bytes.
	maxQuarantine = 1024
)

// Provider makes each HostMachine of a Host.
type Provider struct {
	*Servers

	// Clock measures how long things fail. Default: the real one.
	Clock clock.PassiveClock

	// connections are to servers whose machines have yet to join, by the machines' UIDs.
	connections connections
	// failing has since when a machine's installation fails, or its removal.
	failing firstseen.Times[types.UID, effort]
}

var _ infra.Provider[*v1alpha1.HostMachine] = &Provider{}

// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hostmachines,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hostmachines/status,verbs=patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hostmachines/finalizers,verbs=update
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hosts,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hosts/status,verbs=patch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hosts/finalizers,verbs=update

// Kind implements infra.Provider.
func (p *Provider) Kind() infra.Kind[*v1alpha1.HostMachine] {
	return infra.Kind[*v1alpha1.HostMachine]{
		Name:             claimerKind,
		Finalizer:        v1alpha1.HostMachineFinalizer,
		ProviderIDPrefix: v1alpha1.HostProviderIDPrefix,
		New:              func() *v1alpha1.HostMachine { return &v1alpha1.HostMachine{} },
		NewList:          func() client.ObjectList { return &v1alpha1.HostMachineList{} },
		Contract: func(m *v1alpha1.HostMachine) infra.Contract {
			return infra.Contract{ProviderID: &m.Spec.ProviderID, Conditions: &m.Status.Conditions, Addresses: &m.Status.Addresses,
				ObservedGeneration: &m.Status.ObservedGeneration, Provisioned: &m.Status.Initialization.Provisioned}
		},
	}
}

// Ensure implements infra.Provider. Each step may be repeated: the claim is found again, the lock file is there already,
// what was copied is not copied again, and the agent's installer goes on where it stopped.
func (p *Provider) Ensure(ctx context.Context, m *v1alpha1.HostMachine, bootstrap []byte) (infra.State, error) {
	h, err := p.claimed(ctx, m, false)
	if err != nil {
		return infra.State{}, err
	}
	switch {
	case h == nil && bootstrap == nil:
		gone := hostGone(m.Status.Host)
		return infra.State{Reason: gone.Reason, Message: gone.Message}, nil
	case h == nil:
		if h, err = p.claim(ctx, m); err != nil || h == nil {
			return infra.State{Reason: v1alpha1.ReasonProvisioning, Message: "Claiming a Host.", Waiting: true, RequeueAfter: claimRetry}, err
		}
	}
	m.Status.Host = h.Name
	address, err := nodeAddress(h)
	if err != nil {
		return infra.State{}, err
	}
	state := infra.State{Reason: v1alpha1.ReasonProvisioned, Provisioned: true, RequeueAfter: provisionedRecheck, Addresses: []clusterv1.MachineAddress{
		{Type: clusterv1.MachineInternalIP, Address: address}, {Type: clusterv1.MachineHostName, Address: m.Name},
	}}
	if bootstrap == nil {
		return state, nil
	}
	if err := problem(p.install(ctx, h, m, bootstrap)); err != nil {
		return state, errors.Join(err, p.giveUp(ctx, h, m, err))
	}
	p.forget(m.UID)
	return state, nil
}

// hostGone says of a machine that its Host went without being released: somebody took the finalizer or the claim away, or
// restored another state. What the server has of the machine is there still.
func hostGone(host string) *infra.Problem {
	return &infra.Problem{Reason: v1alpha1.ReasonHostGone, Message: fmt.Sprintf("The Host %s is gone, or is not this machine's any more, and was not released: delete the Machine to have it replaced. To give the server back, %s.", host, byHand())}
}

// giveUp takes from a machine a Host that has failed to become a node's for too long. Somebody is to look at that one.
func (p *Provider) giveUp(ctx context.Context, h *v1alpha1.Host, m *v1alpha1.HostMachine, cause error) error {
	limit := time.Duration(ptr.Deref(m.Spec.ProvisioningTimeoutSeconds, 1800)) * time.Second
	if p.waited(m.UID, installing) < limit {
		return nil
	}
	why := fmt.Sprintf("did not become a node within %s: %v", limit, cause)
	claim := claimFor(m)
	claim.Released = ptr.To(true)
	if err := p.patchHost(ctx, h.DeepCopy(), func(h *v1alpha1.Host) error {
		if err := setClaim(h, claim); err != nil {
			return err
		}
		h.Annotations[v1alpha1.QuarantineAnnotation] = v1alpha1.Shorten(why, maxQuarantine)
		return nil
	}); err != nil {
		return unlessOvertaken(err)
	}
	p.Recorder.Eventf(h, m, corev1.EventTypeWarning, v1alpha1.ReasonQuarantined, "Provision", "%s", v1alpha1.BoundMessage("The server "+why))
	p.forget(m.UID)
	return unlessOvertaken(p.choose(ctx, m, ""))
}

// install makes the Host's server a node.
func (p *Provider) install(ctx context.Context, h *v1alpha1.Host, m *v1alpha1.HostMachine, bootstrap []byte) (err error) {
	who, err := p.ownerOf(ctx, m.Namespace, claimFor(m))
	if err != nil {
		return err
	}
	begun := time.Now()
	s, err := p.login(ctx, h)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	loggedIn := time.Now()
	if err := s.lock(ctx, who); err != nil {
		return err
	}
	agent, err := s.putAgent(ctx, h.Status.Facts.Architecture)
	if err != nil {
		return err
	}
	copied := time.Now()
	if err := s.install(ctx, agent, bootstrap); err != nil {
		return err
	}
	log.FromContext(ctx).Info("Installed the agent on a server", "host", h.Name, "login", loggedIn.Sub(begun).String(),
		"copy", copied.Sub(loggedIn).String(), "install", time.Since(copied).String())
	p.connections.keep(m.UID, h.Generation, s)
	return nil
}

func (s *Servers) ownerOf(ctx context.Context, namespace string, claim v1alpha1.HostClaim) (owner, error) {
	cluster, err := s.clusterID(ctx)
	return owner{Cluster: cluster, Namespace: namespace, Machine: claim.Name, UID: claim.UID}, err
}

// claimed is the Host that is the machine's. It is looked for live before it is said that there is none: a second one must
// not be claimed.
func (p *Provider) claimed(ctx context.Context, m *v1alpha1.HostMachine, released bool) (*v1alpha1.Host, error) {
	for _, reader := range []client.Reader{p.Client, p.APIReader} {
		hosts := &v1alpha1.HostList{}
		if err := reader.List(ctx, hosts, client.InNamespace(m.Namespace)); err != nil {
			return nil, fmt.Errorf("list the Hosts of %s: %w", m.Namespace, err)
		}
		for i := range hosts.Items {
			if is, err := isClaimedBy(&hosts.Items[i], m, released); is || err != nil {
				return &hosts.Items[i], err
			}
		}
	}
	return nil, nil
}

// claim takes a Host for the machine in two writes, each of which fails if anybody wrote the object since it was read: the
// machine names the Host, then the Host the machine. It returns nil if somebody was quicker, and is to be called again.
func (p *Provider) claim(ctx context.Context, m *v1alpha1.HostMachine) (*v1alpha1.Host, error) {
	name := types.NamespacedName{Namespace: m.Namespace, Name: m.Annotations[v1alpha1.ChosenHostAnnotation]}
	chosenBefore := name.Name != ""
	if !chosenBefore {
		var err error
		if name, err = p.pick(ctx, m); err != nil {
			return nil, err
		}
		defer p.picks.drop(name)
		if err := p.choose(ctx, m, name.Name); err != nil {
			return nil, unlessOvertaken(err)
		}
	}
	h := &v1alpha1.Host{}
	err := p.APIReader.Get(ctx, name, h)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Host %s: %w", name, err)
	}
	// It was claimed perhaps, and what its server was given by then is not given to a second one.
	if err != nil && chosenBefore {
		return nil, hostGone(name.Name)
	}
	// Read live, and not to be claimed any more: then whoever read it before that cannot claim it either.
	if err != nil || unavailable(h) != "" {
		return nil, unlessOvertaken(p.choose(ctx, m, ""))
	}
	if err := p.patchHost(ctx, h, func(h *v1alpha1.Host) error { return setClaim(h, claimFor(m)) }); err != nil {
		return nil, unlessOvertaken(err)
	}
	p.picks.claimed.Wrote(h)
	return h, nil
}

// pick finds a Host that the machine may claim, and keeps it from this manager's other machines until it is dropped.
func (p *Provider) pick(ctx context.Context, m *v1alpha1.HostMachine) (types.NamespacedName, error) {
	selector, err := metav1.LabelSelectorAsSelector(&m.Spec.HostSelector)
	if err != nil {
		return types.NamespacedName{}, infra.ProvisionFailed(fmt.Sprintf("The hostSelector is not valid: %v.", err))
	}
	hosts := &v1alpha1.HostList{}
	if err := p.Client.List(ctx, hosts, client.InNamespace(m.Namespace)); err != nil {
		return types.NamespacedName{}, fmt.Errorf("list the Hosts of %s: %w", m.Namespace, err)
	}
	name, why := p.picks.pick(hosts.Items, selector)
	if why != "" {
		return name, &infra.Problem{Reason: v1alpha1.ReasonNoHost, Message: why}
	}
	return name, nil
}

// choose has the machine name a Host, or none any more.
func (p *Provider) choose(ctx context.Context, m *v1alpha1.HostMachine, name string) error {
	before := m.DeepCopy()
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}
	m.Annotations[v1alpha1.ChosenHostAnnotation] = name
	if name == "" {
		delete(m.Annotations, v1alpha1.ChosenHostAnnotation)
	}
	if err := p.Client.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("write HostMachine %s: %w", m.Name, err)
	}
	return nil
}

// unlessOvertaken is the error of a write, unless somebody else was quicker.
func unlessOvertaken(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// nodeAddress is where other nodes reach the server.
func nodeAddress(h *v1alpha1.Host) (string, error) {
	for _, candidate := range []string{h.Spec.NodeAddress, h.Spec.Address} {
		if a, err := netip.ParseAddr(candidate); err == nil {
			return a.String(), nil
		}
	}
	return "", infra.ProvisionFailed(fmt.Sprintf("The address of Host %s is a name: say in its nodeAddress at which IP address other nodes reach it.", h.Name))
}

// Remove implements infra.Provider: it releases the Host, and waits until that is clean. How a Host is cleaned is not the
// machine's affair: its object may go before.
func (p *Provider) Remove(ctx context.Context, m *v1alpha1.HostMachine) (infra.Removal, error) {
	p.connections.end(m.UID)
	h, err := p.claimed(ctx, m, true)
	if err != nil {
		return infra.Removal{}, err
	}
	if h == nil {
		p.forget(m.UID)
		return infra.Removal{Gone: true}, nil
	}
	claim, err := claimOf(h)
	if err != nil {
		return infra.Removal{}, err
	}
	if !isReleased(claim) {
		if err := p.release(ctx, h, claim, m); err != nil {
			return infra.Removal{}, err
		}
	}
	removal := infra.Removal{Reason: v1alpha1.ReasonCleaning, Waiting: true, RequeueAfter: releaseRecheck,
		Message: fmt.Sprintf("Host %s is being cleaned.", h.Name)}
	clean := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.HostCleanCondition)
	if clean == nil || clean.Status != metav1.ConditionFalse || clean.Reason == v1alpha1.ReasonCleaning {
		return removal, nil
	}
	removal.Reason, removal.Waiting = clean.Reason, false
	limit := time.Duration(ptr.Deref(m.Spec.UnreachableTimeoutSeconds, 600)) * time.Second
	removal.Message = fmt.Sprintf("Host %s is not clean: %s The machine goes without that after %s.", h.Name, sentence(clean.Message), limit)
	if waited := p.waited(m.UID, removing); waited < limit {
		removal.RequeueAfter = min(releaseRecheck, limit-waited)
		return removal, nil
	}
	p.forget(m.UID)
	removal.Gone = true
	p.Recorder.Eventf(h, m, corev1.EventTypeWarning, removal.Reason, "Release", "%s",
		v1alpha1.BoundMessage(fmt.Sprintf("HostMachine %s was let go after %s, and this Host stays claimed until it is clean: %s", m.Name, limit, clean.Message)))
	return removal, nil
}

// effort is what is tried with a machine.
type effort int

const (
	installing effort = iota
	removing
)

// waited is how long this manager has seen it fail at that. A new manager counts anew.
func (p *Provider) waited(uid types.UID, at effort) time.Duration {
	return p.clock().Since(p.failing.At(uid, at, p.clock().Now()))
}

func (p *Provider) forget(uid types.UID) { p.failing.Forget(uid) }

func (p *Provider) clock() clock.PassiveClock {
	if p.Clock != nil {
		return p.Clock
	}
	return clock.RealClock{}
}

// BootReport implements infra.Provider. It is asked every few seconds while a machine has yet to join, so the connection is
// kept in between.
func (p *Provider) BootReport(ctx context.Context, m *v1alpha1.HostMachine) ([]byte, error) {
	h, err := p.claimed(ctx, m, false)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, hostGone(m.Status.Host)
	}
	if s := p.connections.take(m.UID, h.Generation); s != nil {
		// That a connection was lost since says nothing yet about whether there is another one to be had.
		if report, err := p.bootReport(ctx, h, m, s); !isLost(err) {
			return report, problem(err)
		}
	}
	s, err := p.login(ctx, h)
	if err != nil {
		return nil, problem(err)
	}
	report, err := p.bootReport(ctx, h, m, s)
	return report, problem(err)
}

// bootReport asks over a connection, which is kept unless it is lost.
func (p *Provider) bootReport(ctx context.Context, h *v1alpha1.Host, m *v1alpha1.HostMachine, s *server) ([]byte, error) {
	report, err := s.bootReport(ctx)
	// A command that fails is no trouble with the connection.
	if err != nil && remote.ReasonOf(err) != remote.CommandFailed {
		_ = s.Close()
		return nil, err
	}
	p.connections.keep(m.UID, h.Generation, s)
	return report, err
}
