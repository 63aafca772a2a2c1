package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/bench/table"
)

// restartsPerRun is how often each machine is started again.
const restartsPerRun = 2

// samplesOf is what was measured of one kind of node.
type samplesOf struct{ joined, again []time.Duration }

// starts measures how long nodes take to be Ready, at first and when they are started again. The kinds take turns, and
// turns in who is first, so that whatever else this host does hits both.
func (b *bench) starts(ctx context.Context, say func(string)) error {
	var drover, peer samplesOf
	for run := range b.runs {
		say(fmt.Sprintf("%d of %d", run+1, b.runs))
		if err := b.startPair(ctx, run, &drover, &peer); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b.notes, "\nWhat the agents say of their steps, in milliseconds since they started:\n\n%s", b.steps.String())
	b.add(table.Row{Measure: "Agent starts again → Node Ready", Unit: table.Seconds, Budget: 1.5, Ratio: true,
		Ours: table.Durations(drover.again), Peer: table.Durations(peer.again)})
	b.add(table.Row{Measure: "First join → Node Ready, bundle cached", Unit: table.Seconds, Budget: 1.5, Ratio: true,
		Ours: table.Durations(drover.joined), Peer: table.Durations(peer.joined)})
	return nil
}

func (b *bench) startPair(ctx context.Context, run int, drover, peer *samplesOf) (err error) {
	kinds := []struct {
		make    func(context.Context, string) (*node, error)
		name    string
		samples *samplesOf
		node    *node
	}{{make: b.newDrover, name: "start", samples: drover}, {make: b.newRawNode, name: "raw", samples: peer}}
	if run%2 == 1 {
		kinds[0], kinds[1] = kinds[1], kinds[0]
	}
	defer func() {
		for _, k := range kinds {
			if k.node != nil && err == nil {
				err = errors.Join(err, k.node.remove(ctx))
			}
		}
	}()
	for i := range kinds {
		k := &kinds[i]
		if k.node, err = k.make(ctx, fmt.Sprintf("%s-%d", k.name, run)); err != nil {
			return err
		}
		k.samples.joined = append(k.samples.joined, k.node.joined)
		if err := b.timeline(ctx, k.node, "joined"); err != nil {
			return err
		}
	}
	for range restartsPerRun {
		for _, k := range kinds {
			took, err := k.node.again(ctx)
			if err != nil {
				return err
			}
			k.samples.again = append(k.samples.again, took)
			if err := b.timeline(ctx, k.node, "started again"); err != nil {
				return err
			}
		}
	}
	return nil
}

// timeline notes what the agent says of its steps, of a node that has one.
func (b *bench) timeline(ctx context.Context, n *node, what string) error {
	agent := &v1alpha1.NodeAgent{}
	if err := b.client.Get(ctx, client.ObjectKey{Name: n.name}, agent); err != nil {
		return client.IgnoreNotFound(err)
	}
	steps := make([]string, 0, len(agent.Status.BootTimeline))
	for _, s := range agent.Status.BootTimeline {
		steps = append(steps, fmt.Sprintf("%s %d", s.Step, ptr.Deref(s.Milliseconds, 0)))
	}
	fmt.Fprintf(&b.steps, "  %s %s: %s\n", n.name, what, strings.Join(steps, ", "))
	return nil
}
