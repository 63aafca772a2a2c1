package planner

import (
	"testing"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// BenchmarkPlan10000 plans for pools of 10,000 machines. Its budget is 20 ms.
func BenchmarkPlan10000(b *testing.B) { benchmarkPlans(b, 10_000) }

// BenchmarkPlan100 plans for pools of 100 machines. Its budget is 0.2 ms.
func BenchmarkPlan100(b *testing.B) { benchmarkPlans(b, 100) }

func benchmarkPlans(b *testing.B, n int32) {
	for _, state := range benchmarked {
		s := benchmark(state, n)
		b.Run(state, func(b *testing.B) {
			for b.Loop() {
				Plan(s)
			}
		})
	}
}

// BenchmarkReport10000 derives the status of pools of 10,000 machines.
func BenchmarkReport10000(b *testing.B) {
	for _, state := range benchmarked {
		s := benchmark(state, 10_000)
		plan := Plan(s)
		b.Run(state, func(b *testing.B) {
			for b.Loop() {
				Report(s, plan, Outcome{})
			}
		})
	}
}

// benchmarked are the states of a pool: whole, a hundredth of what it wants to be, a hundred times that, and with another template.
var benchmarked = []string{"complete", "up", "down", "rollout"}

// benchmark is a pool of so many machines, some of them unready, which run the template or the one before it.
func benchmark(state string, n int32) Snapshot {
	there, wanted, revision := int64(n), n, "r1"
	switch state {
	case "up":
		there = int64(n / 100)
	case "down":
		wanted = n / 100
	case "rollout":
		revision = "r0"
	}
	machines := make([]*clusterv1.Machine, 0, there)
	agents := make([]*v1alpha1.NodeAgent, 0, there)
	for i := range there {
		m := newMachine(i, joined)
		if i%7 == 0 {
			unready(m)
		}
		m.Labels[v1alpha1.RevisionLabel] = revision
		machines = append(machines, m)
		agents = append(agents, runs(i, revision))
	}
	s := snapshot(newPool(wanted, there), machines...)
	hasAgents(agents...)(&s)
	return s
}
