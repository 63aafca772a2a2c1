package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/bench/table"
)

// kills ends each component once, and measures how soon the NodeAgent's status tells of it, and of the next process.
func (b *bench) kills(ctx context.Context, say func(string), n *node) error {
	var reported, running []time.Duration
	for _, component := range []string{v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy} {
		say("kills " + component)
		r, again, err := b.kill(ctx, n, component)
		if err != nil {
			return err
		}
		reported, running = append(reported, r), append(running, again)
		fmt.Fprintf(&b.notes, "\n%s killed: reported after %s, running again after %s", component, r.Round(time.Millisecond), again.Round(time.Millisecond))
		if err := wait(ctx, 5*settle); err != nil {
			return err
		}
	}
	b.notes.WriteString("\n")
	b.add(table.Row{Measure: "SIGKILL a component → reported, the worst of three", Unit: table.Milliseconds, Budget: 1, Worst: true, Ours: table.Durations(reported)})
	b.add(table.Row{Measure: "SIGKILL a component → running again, the worst of three", Unit: table.Milliseconds, Budget: 2, Worst: true, Ours: table.Durations(running)})
	return nil
}

func (b *bench) kill(ctx context.Context, n *node, component string) (reported, running time.Duration, err error) {
	processes, err := n.processes()
	if err != nil {
		return 0, 0, err
	}
	pid, err := pidOf(processes, component)
	if err != nil {
		return 0, 0, err
	}
	agent := &v1alpha1.NodeAgent{}
	if err := b.client.Get(ctx, client.ObjectKey{Name: n.name}, agent); err != nil {
		return 0, 0, fmt.Errorf("read the NodeAgent: %w", err)
	}
	before := componentOf(agent, component)
	start := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, 0, fmt.Errorf("kill %s, which is process %d: %w", component, pid, err)
	}
	at, err := b.awaitComponent(ctx, n.name, component, func(c v1alpha1.ComponentStatus) bool {
		return c.State != v1alpha1.ComponentRunning || ptr.Deref(c.PID, 0) != ptr.Deref(before.PID, 0)
	})
	if err != nil {
		return 0, 0, err
	}
	again, err := b.awaitComponent(ctx, n.name, component, func(c v1alpha1.ComponentStatus) bool {
		return c.State == v1alpha1.ComponentRunning && ptr.Deref(c.PID, 0) != ptr.Deref(before.PID, 0)
	})
	return at.Sub(start), again.Sub(start), err
}

// pidOf never returns 0: a signal to that would end this program and all of its process group.
func pidOf(processes map[string]int, component string) (int, error) {
	if pid := processes[component]; pid > 0 {
		return pid, nil
	}
	return 0, fmt.Errorf("kill %s: no such process runs on the node", component)
}

func (b *bench) awaitComponent(ctx context.Context, node, name string, done func(v1alpha1.ComponentStatus) bool) (time.Time, error) {
	return b.await(ctx, "word of "+name, &v1alpha1.NodeAgentList{}, func(o client.Object) bool {
		agent, ok := o.(*v1alpha1.NodeAgent)
		return ok && done(componentOf(agent, name))
	}, named(node))
}

func componentOf(agent *v1alpha1.NodeAgent, name string) v1alpha1.ComponentStatus {
	for _, c := range agent.Status.Components {
		if c.Name == name {
			return c
		}
	}
	return v1alpha1.ComponentStatus{}
}
