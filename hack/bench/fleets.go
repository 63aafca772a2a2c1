package main

import (
	"context"
	"fmt"

	"github.com/drover-dev/drover/hack/bench/table"
)

// fleets compares a NodePool of 1,000 simulated machines with a MachineDeployment of as many, each in a manager of its own, if it was
// asked for.
func (b *bench) fleets(ctx context.Context) error {
	rows := []fleetRow{
		{row: table.Row{Measure: "1,000 simulated machines → Ready, beside Cluster API's MachineDeployment", Unit: table.Seconds}, metric: "s/%s-make"},
		{row: table.Row{Measure: "… API requests a machine; the peer's for its Nodes do not count", Unit: table.Count}, metric: "requests/%s-make"},
		{row: table.Row{Measure: "… processor time of the manager", Unit: table.Seconds}, metric: "cpu-s/%s-make"},
		{row: table.Row{Measure: "Another label and kubelet configuration over all 1,000 / their replacement", Unit: table.Seconds}, metric: "s/%s-change"},
		{row: table.Row{Measure: "… API requests a machine; the peer's for its Nodes do not count", Unit: table.Count}, metric: "requests/%s-change"},
		{row: table.Row{Measure: "… processor time of the manager", Unit: table.Seconds}, metric: "cpu-s/%s-change"},
		{row: table.Row{Measure: "… the manager's largest resident memory, of both", Unit: table.Megabytes}, metric: "B/%s"},
	}
	if b.all {
		if err := b.Progress.Step("1,000 simulated machines, twice", func(func(string)) error {
			out, err := b.goBenchmark(ctx, "./test/fleets", "Fleets", "-benchtime=1x")
			if err != nil {
				return err
			}
			for i := range rows {
				if err := rows[i].read(out); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for _, r := range rows {
		r.row.Budget, r.row.Ratio = 1, true // Drover is to win each
		b.add(r.row)
	}
	return nil
}

// fleetRow is a row with the metric that it is of, for a side to be put in.
type fleetRow struct {
	row    table.Row
	metric string
}

// read takes both sides' samples out of what the benchmark printed.
func (r *fleetRow) read(out string) (err error) {
	if r.row.Ours, err = parseBenchmark(out, fmt.Sprintf(r.metric, "drover"), 1); err != nil {
		return err
	}
	r.row.Peer, err = parseBenchmark(out, fmt.Sprintf(r.metric, "clusterapi"), 1)
	return err
}
