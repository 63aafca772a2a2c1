package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/bench/audit"
	"github.com/drover-dev/drover/hack/bench/table"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/world"
)

// cleanupTimeout bounds the end of a run, which comes also when it was interrupted.
const cleanupTimeout = 3 * time.Minute

// bench is one run.
type bench struct {
	options
	*world.World
	client client.WithWatch
	writes *audit.Log
	hello  string // the image of the pods
	// version is the sample bundle's, of which nodes are unless something else is said.
	version string
	raws    rawMachines
	spec    *v1alpha1.NodeAgentSpec // of Drover's last node, for raw ones

	rows  []table.Row
	notes strings.Builder // printed below the table
	steps strings.Builder // the agents' boot timelines
}

// phases make the rows, in the order of the table.
func (b *bench) phases() []phase {
	return []phase{
		{"pool", "Two nodes from one NodePool", b.pools},
		{"starts", "Joining and starting again, in turns with raw machines", b.starts},
		{"pods", "Pods, in turns with a raw machine; components killed", b.running},
		{"upgrades", "Nodes upgraded in place and drained, and one rolled back", b.upgrades},
		{"memory", "One node alone and idle, then one raw machine", b.idle},
		{"servers", "A server over SSH, in turns with a script that does it by hand", b.servers},
	}
}

type phase struct {
	name, title string
	run         func(context.Context, func(string)) error
}

func measure(ctx context.Context, opts options) error {
	start := time.Now()
	b, closeWorld, err := open(opts)
	if err != nil {
		return err
	}
	defer closeWorld()
	if opts.hold {
		return b.inWorld(ctx, b.hold)
	}
	if err := errors.Join(b.runInWorld(ctx), b.hosts(ctx), b.large(ctx), b.fleets(ctx)); err != nil {
		return err
	}
	if err := table.Print(os.Stdout, b.rows); err != nil {
		return err
	}
	fmt.Print(b.notes.String(), b.facts(time.Since(start)))
	return nil
}

func (b *bench) runPhases(ctx context.Context) error {
	for _, p := range b.phases() {
		if !b.wants(p.name) {
			continue
		}
		if err := b.Progress.Step(p.title, func(say func(string)) error { return p.run(ctx, say) }); err != nil {
			return err
		}
	}
	return nil
}

// wants says whether a phase was asked for.
func (b *bench) wants(phase string) bool {
	return b.only == "" || slices.Contains(strings.Split(b.only, ","), phase)
}

// runInWorld runs the phases in a cluster, if any of them was asked for.
func (b *bench) runInWorld(ctx context.Context) error {
	if !slices.ContainsFunc(b.phases(), func(p phase) bool { return b.wants(p.name) }) {
		return nil
	}
	return b.inWorld(ctx, b.runPhases)
}

// inWorld starts the cluster, does what is given, and removes everything, however that ended.
func (b *bench) inWorld(ctx context.Context, do func(context.Context) error) (err error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = errors.Join(err, b.raws.removeAll(ctx), b.Down(ctx), os.RemoveAll(benchDir(b.Layout)))
	}()
	if err := b.start(ctx); err != nil {
		return err
	}
	return do(ctx)
}

func benchDir(l layout.Layout) string { return l.Path("bench") }

func (b *bench) add(row table.Row) { b.rows = append(b.rows, row) }
