package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/local/machine"
)

// settle is how long a node is left alone after it became Ready, before something else is measured beside it.
const settle = 2 * time.Second

// node is a node of either kind.
type node struct {
	name string
	// joined is how long it took to be Ready, from the start of its first process.
	joined time.Duration
	// again starts its machine anew, and says the same of that.
	again func(context.Context) (time.Duration, error)
	// processes are those on its machine, by name.
	processes func() (map[string]int, error)
	// remove removes it with all that it is made of.
	remove func(context.Context) error
}

// newDrover makes a pool of one node.
func (b *bench) newDrover(ctx context.Context, name string) (*node, error) {
	pool, err := b.createPool(ctx, name, 1)
	if err != nil {
		return nil, err
	}
	names, at, err := b.nodesOf(ctx, name, 1)
	if err != nil {
		return nil, err
	}
	n := &node{name: names[0]}
	if n.joined, err = b.sinceAgent(n.name, at); err != nil {
		return nil, err
	}
	agent := &v1alpha1.NodeAgent{}
	if err := b.client.Get(ctx, client.ObjectKey{Name: n.name}, agent); err != nil {
		return nil, fmt.Errorf("read the NodeAgent: %w", err)
	}
	b.spec = &agent.Spec
	n.processes = func() (map[string]int, error) { return b.processes(n.name) }
	n.remove = func(ctx context.Context) error { return b.deletePool(ctx, pool) }
	n.again = b.startedAgain(n.name, b.reboot, func(_ context.Context, at time.Time) (time.Duration, error) { return b.sinceAgent(n.name, at) })
	return n, wait(ctx, settle)
}

// newRawNode makes a raw machine of the same size.
func (b *bench) newRawNode(ctx context.Context, name string) (*node, error) {
	if b.spec == nil {
		return nil, errors.New("there was no node of Drover's yet to take the raw machine's configuration from")
	}
	limits, err := b.limits(ctx)
	if err != nil {
		return nil, err
	}
	machine, err := b.newRaw(ctx, name, *b.spec, limits)
	if err != nil {
		return nil, err
	}
	at, err := b.awaitReady(ctx, name)
	if err != nil {
		return nil, err
	}
	n := &node{name: name, processes: machine.processes, remove: machine.remove}
	n.again = b.startedAgain(name, func(ctx context.Context, _ string) error { return machine.reboot(ctx) }, machine.sinceStart)
	if n.joined, err = machine.sinceStart(ctx, at); err != nil {
		return nil, err
	}
	return n, wait(ctx, settle)
}

// startedAgain measures from the start of the first process to the Node's being Ready by the word of the kubelet that
// runs then: before the machine ends, the Node is made not Ready.
func (b *bench) startedAgain(name string, reboot func(context.Context, string) error, since func(context.Context, time.Time) (time.Duration, error)) func(context.Context) (time.Duration, error) {
	const tries = 3
	return func(ctx context.Context) (time.Duration, error) {
		for range tries {
			if err := b.notReady(ctx, name); err != nil {
				return 0, err
			}
			if err := reboot(ctx, name); err != nil {
				return 0, err
			}
			// In rare cases the kubelet said so once more before it ended.
			if early, err := b.ready(ctx, name); err != nil {
				return 0, err
			} else if early {
				continue
			}
			at, err := b.awaitReady(ctx, name)
			if err != nil {
				return 0, err
			}
			took, err := since(ctx, at)
			if err != nil {
				return 0, err
			}
			return took, wait(ctx, settle)
		}
		return 0, fmt.Errorf("the Node %s was Ready before its machine started again, %d times", name, tries)
	}
}

// limits are those of the machines of the template.
func (b *bench) limits(ctx context.Context) (machine.Limits, error) {
	t := &v1alpha1.LocalMachineTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: template}}
	if err := b.client.Get(ctx, client.ObjectKeyFromObject(t), t); err != nil {
		return machine.Limits{}, fmt.Errorf("read the template of machines: %w", err)
	}
	limits, spec := machine.Limits{}, t.Spec.Template.Spec
	if spec.CPUs != nil {
		limits.CPUs = *spec.CPUs
	}
	if spec.Memory != nil {
		limits.MemoryBytes = spec.Memory.Value()
	}
	return limits, nil
}

// wait waits, unless the run is interrupted.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
