package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/bench/proc"
	"github.com/drover-dev/drover/hack/bench/table"
	"github.com/drover-dev/drover/internal/procfs"
)

const (
	// idleAfter is how long after its Node was Ready the memory of a node is measured.
	idleAfter = time.Minute
	// idleFor is how long the agent's processor time is counted then.
	idleFor = 40 * time.Second
)

var rawProcesses = []string{v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy}

// idle measures what a node that runs nothing costs while it is the only one: shared pages count in full then.
func (b *bench) idle(ctx context.Context, say func(string)) error {
	binary, err := os.Stat(b.Layout.Bin("drover-agent"))
	if err != nil {
		return fmt.Errorf("look at the agent's binary: %w", err)
	}
	b.add(table.Row{Measure: "Agent: size of the binary", Unit: table.Megabytes, Budget: 30e6, Ours: []float64{float64(binary.Size())}})
	say("a node of Drover's")
	drover, err := b.newDrover(ctx, "idle")
	if err != nil {
		return err
	}
	ours, err := b.memory(ctx, drover, append([]string{agentProcess}, rawProcesses...))
	if err != nil {
		return err
	}
	cpu, err := agentCPU(ctx, drover)
	if err != nil {
		return err
	}
	if err := drover.remove(ctx); err != nil {
		return err
	}
	say("a raw machine")
	peer, err := b.newRawNode(ctx, "raw-idle")
	if err != nil {
		return err
	}
	theirs, err := b.memory(ctx, peer, rawProcesses)
	if err != nil {
		return err
	}
	b.addMemory(ours, theirs, cpu)
	return peer.remove(ctx)
}

func (b *bench) addMemory(ours, theirs map[string]proc.Memory, cpu float64) {
	b.add(table.Row{Measure: "Agent: resident memory, idle", Unit: table.Megabytes, Budget: 30e6, Ours: []float64{float64(ours[agentProcess].Resident)}})
	b.add(table.Row{Measure: "Agent: processor time, idle, of one core", Unit: table.Percent, Budget: 0.003, Ours: []float64{cpu}})
	us, them := total(ours), total(theirs)
	b.add(table.Row{Measure: "Node idle: proportional memory (PSS), agent + 3 / raw 3", Unit: table.Megabytes, Budget: 180e6,
		Ours: []float64{float64(us.Proportional)}, Peer: []float64{float64(them.Proportional)}})
	b.add(table.Row{Measure: "Node idle: anonymous memory, agent + 3 / raw 3", Unit: table.Megabytes, Budget: 60e6,
		Ours: []float64{float64(us.Anonymous)}, Peer: []float64{float64(them.Anonymous)}})
	b.notes.WriteString("\nMemory of the idle node, proportional and anonymous:")
	for _, name := range append([]string{agentProcess}, rawProcesses...) {
		fmt.Fprintf(&b.notes, "\n  %-18s %9s %9s", name, table.Megabytes(float64(ours[name].Proportional)), table.Megabytes(float64(ours[name].Anonymous)))
		if theirs[name].Resident > 0 {
			fmt.Fprintf(&b.notes, "   raw %9s %9s", table.Megabytes(float64(theirs[name].Proportional)), table.Megabytes(float64(theirs[name].Anonymous)))
		}
	}
	b.notes.WriteString("\n")
}

// memory waits until the node has been idle and reads the memory of its processes.
func (b *bench) memory(ctx context.Context, n *node, names []string) (map[string]proc.Memory, error) {
	if err := wait(ctx, idleAfter-settle); err != nil {
		return nil, err
	}
	processes, err := n.processes()
	if err != nil {
		return nil, err
	}
	found := map[string]proc.Memory{}
	for _, name := range names {
		if found[name], err = proc.ReadMemory(processes[name]); err != nil {
			return nil, fmt.Errorf("measure %s: %w", name, err)
		}
	}
	return found, nil
}

func total(of map[string]proc.Memory) proc.Memory {
	sum := proc.Memory{}
	for _, m := range of {
		sum = sum.Add(m)
	}
	return sum
}

// agentCPU is the part of one core that the agent uses.
func agentCPU(ctx context.Context, n *node) (float64, error) {
	processes, err := n.processes()
	if err != nil {
		return 0, err
	}
	before, err := procfs.ReadStat(processes[agentProcess])
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := wait(ctx, idleFor); err != nil {
		return 0, err
	}
	after, err := procfs.ReadStat(processes[agentProcess])
	if err != nil {
		return 0, err
	}
	return (after.CPU - before.CPU).Seconds() / time.Since(start).Seconds(), nil
}
