package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/bench/table"
	"github.com/drover-dev/drover/test/apicount"
)

const (
	poolRuns     = 3
	poolReplicas = 2
)

// pools measures a pool of two from its creation to both Nodes' being Ready, and counts what the manager writes until
// the pool says so too.
func (b *bench) pools(ctx context.Context, say func(string)) error {
	var took []time.Duration
	var writes []float64
	var counts map[apicount.Key]int
	// A pool without machines keeps the cluster adopted in the namespace, which is done once for all of its pools.
	standing, err := b.createPool(ctx, "standing", 0)
	if err != nil {
		return err
	}
	if _, err := b.await(ctx, "the standing pool", &v1alpha1.NodePoolList{}, poolReady, named(standing.Name)); err != nil {
		return err
	}
	if err := wait(ctx, settle); err != nil {
		return err
	}
	for run := range poolRuns {
		say(fmt.Sprintf("%d of %d", run+1, poolRuns))
		d, c, err := b.poolOnce(ctx, fmt.Sprintf("pool-%d", run))
		if err != nil {
			return err
		}
		counts = c
		took, writes = append(took, d), append(writes, float64(apicount.Writes(c))/poolReplicas)
	}
	if err := b.deletePool(ctx, standing); err != nil {
		return err
	}
	b.add(table.Row{Measure: "Apply NodePool(2) → both Nodes Ready", Unit: table.Seconds, Budget: 6, Ours: table.Durations(took)})
	b.add(table.Row{Measure: "Manager's writes per machine, create → Ready", Unit: table.Count, Budget: 22, Ours: writes})
	b.notes.WriteString("\nThe manager's writes per machine in the last of these pools, its own objects' included:\n\n")
	return apicount.Print(&b.notes, counts, poolReplicas)
}

func (b *bench) poolOnce(ctx context.Context, name string) (time.Duration, map[apicount.Key]int, error) {
	mark, err := b.writes.Mark()
	if err != nil {
		return 0, nil, err
	}
	start := time.Now()
	pool, err := b.createPool(ctx, name, poolReplicas)
	if err != nil {
		return 0, nil, err
	}
	_, at, err := b.nodesOf(ctx, name, poolReplicas)
	if err != nil {
		return 0, nil, err
	}
	if _, err := b.await(ctx, "the pool "+name+" to be Ready", &v1alpha1.NodePoolList{}, poolReady, named(name)); err != nil {
		return 0, nil, err
	}
	// What follows from the last event is written within this.
	if err := wait(ctx, settle); err != nil {
		return 0, nil, err
	}
	counts, err := b.writes.Since(mark)
	if err != nil {
		return 0, nil, err
	}
	return at.Sub(start), counts, b.deletePool(ctx, pool)
}

func poolReady(o client.Object) bool {
	pool, ok := o.(*v1alpha1.NodePool)
	return ok && pool.Status.ObservedGeneration == pool.Generation && meta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.ReadyCondition)
}
