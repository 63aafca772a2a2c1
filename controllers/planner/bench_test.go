package planner

import (
	"testing"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// BenchmarkPlan10000 plans and reports for a pool of 10,000 machines. Its budget is 20 ms.
func BenchmarkPlan10000(b *testing.B) {
	machines := make([]*clusterv1.Machine, 0, 10_000)
	for i := range int64(10_000) {
		m := newMachine(i)
		if i%7 == 0 {
			unready(m)
		}
		machines = append(machines, m)
	}
	for name, s := range map[string]Snapshot{
		"complete": snapshot(newPool(10_000, 10_000), machines...),
		"down":     snapshot(newPool(100, 10_000), machines...),
		"up":       snapshot(newPool(10_000, 100), machines[:100]...),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				result := Plan(s)
				Report(s, result, Outcome{})
			}
		})
	}
}
