package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/bench/table"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/progress"
	vm "github.com/drover-dev/drover/hack/vm/machine"
)

const (
	serverRuns = 3
	serverName = "bench-debian"
	serverPool = "servers"
	// serverPatience bounds what an emulated machine does.
	serverPatience = 8 * time.Minute
)

// serverAddress is none that a local machine may have.
var serverAddress = netip.MustParseAddr("10.88.0.251")

// servers measures from the first connection to a server to its being a Ready Node, in turns with a script that does
// the same by hand, on the same virtual machine.
func (b *bench) servers(ctx context.Context, say func(string)) (err error) {
	b.steps.Reset()
	machines := vm.Of(b.Layout)
	// What an interrupt leaves of the machine, the end of the world removes.
	m, err := machines.Up(ctx, vm.Spec{
		Name: serverName, Address: serverAddress, Bridge: layout.Bridge, Memory: vm.DefaultMemory, CPUs: vm.DefaultCPUs,
	}, say)
	defer func() { err = errors.Join(err, machines.Down(context.WithoutCancel(ctx), serverName)) }()
	if err != nil {
		return err
	}
	if err := b.applyHost(ctx, machines); err != nil {
		return err
	}
	var ours, peer []time.Duration
	var raw *rawServer
	for run := range min(b.runs, serverRuns) {
		turns := []func() error{
			func() (err error) {
				say(fmt.Sprintf("%d of %d: Drover", run+1, min(b.runs, serverRuns)))
				took, made, err := b.server(ctx, run, machines, m, raw)
				raw, ours = made, append(ours, took)
				return err
			},
			func() error {
				say(fmt.Sprintf("%d of %d: by hand", run+1, min(b.runs, serverRuns)))
				took, err := raw.join(ctx, b)
				if err != nil {
					return err
				}
				peer = append(peer, took)
				return raw.remove(ctx, b)
			},
		}
		if run%2 == 1 {
			turns[0], turns[1] = turns[1], turns[0]
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(&b.notes, "\nWhat was ready on the server when; the agent's steps are in milliseconds since it started:\n\n%s", b.steps.String())
	b.add(table.Row{Measure: "SSH connect → Node Ready on a VM, bundle on the artifact endpoint", Unit: table.Seconds, Budget: 1.2, Ratio: true,
		Ours: table.Durations(ours), Peer: table.Durations(peer)})
	return nil
}

// applyHost makes the machine known to Drover.
func (b *bench) applyHost(ctx context.Context, machines vm.Machines) error {
	key, err := os.ReadFile(machines.Image().Key())
	if err != nil {
		return fmt.Errorf("read the machine's key: %w", err)
	}
	hostKey, err := machines.Image().HostKey()
	if err != nil {
		return err
	}
	object := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	template := &v1alpha1.HostMachineTemplate{ObjectMeta: object(serverPool)}
	template.Spec.Template.Spec.ProvisioningTimeoutSeconds = ptr.To[int32](1800)
	for _, o := range []client.Object{
		&corev1.Secret{ObjectMeta: object("host-key"), Type: corev1.SecretTypeSSHAuth, Data: map[string][]byte{corev1.SSHAuthPrivateKey: key}},
		&v1alpha1.Host{ObjectMeta: object(serverName), Spec: v1alpha1.HostSpec{SSHAccess: v1alpha1.SSHAccess{
			Address: serverAddress.String(), Port: vm.Port, User: "root", HostKeys: []string{hostKey}, KeySecretRef: v1alpha1.SecretReference{Name: "host-key"},
		}}},
		template,
	} {
		if err := b.client.Create(ctx, o); err != nil {
			return fmt.Errorf("create %T %s: %w", o, o.GetName(), err)
		}
	}
	return nil
}

// server makes the machine a node of Drover's and takes that back. The clock begins when the Host is claimed, just
// before the manager logs in. The first time, what a raw server needs is taken from the node.
func (b *bench) server(ctx context.Context, run int, machines vm.Machines, m *vm.Machine, raw *rawServer) (time.Duration, *rawServer, error) {
	if err := b.awaitHost(ctx, "to be available", func(h *v1alpha1.Host) bool { return h.Status.State == v1alpha1.HostAvailable }); err != nil {
		return 0, raw, err
	}
	pool, err := b.createPoolOf(ctx, "HostMachineTemplate", serverPool, fmt.Sprintf("%s-%d", serverPool, run), 1)
	if err != nil {
		return 0, raw, err
	}
	var claimed time.Time
	if err := b.awaitHost(ctx, "to be claimed", func(h *v1alpha1.Host) bool {
		claimed = time.Now()
		return h.Annotations[v1alpha1.ClaimAnnotation] != ""
	}); err != nil {
		return 0, raw, err
	}
	names, ready, err := b.nodesWithin(ctx, serverPatience, pool.Name, 1)
	if err != nil {
		return 0, raw, err
	}
	if err := b.timeline(ctx, &node{name: names[0]}, "joined "+progress.Seconds(ready.Sub(claimed))+" after the claim"); err != nil {
		return 0, raw, err
	}
	if raw == nil {
		agent := &v1alpha1.NodeAgent{}
		if err := b.client.Get(ctx, client.ObjectKey{Name: names[0]}, agent); err != nil {
			return 0, nil, fmt.Errorf("read the NodeAgent: %w", err)
		}
		if raw, err = b.newRawServer(ctx, machines, m, agent); err != nil {
			return 0, nil, err
		}
	}
	if err := b.deletePoolWithin(ctx, serverPatience, pool); err != nil {
		return 0, raw, err
	}
	return ready.Sub(claimed), raw, b.awaitHost(ctx, "to be clean again", func(h *v1alpha1.Host) bool {
		return h.Annotations[v1alpha1.ClaimAnnotation] == "" && meta.IsStatusConditionTrue(h.Status.Conditions, v1alpha1.HostFitCondition)
	})
}

func (b *bench) awaitHost(ctx context.Context, what string, done func(*v1alpha1.Host) bool) error {
	_, err := b.awaitWithin(ctx, serverPatience, "the Host "+what, &v1alpha1.HostList{}, func(o client.Object) bool {
		h, ok := o.(*v1alpha1.Host)
		return ok && done(h)
	}, client.InNamespace(namespace), named(serverName))
	return err
}
