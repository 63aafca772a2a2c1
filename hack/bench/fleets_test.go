package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/hack/bench/table"
)

// TestAFleetRowHasBothSides of a line as go test prints it.
func TestAFleetRowHasBothSides(t *testing.T) {
	out := "BenchmarkFleets-2   \t       1\t814563848164 ns/op\t 291688448 B/clusterapi\t 189444096 B/drover\t        35.24 cpu-s/clusterapi-make\t        30.87 cpu-s/drover-make\t       174.0 s/clusterapi-make\t       146.0 s/drover-make\n"
	for metric, want := range map[string][2]float64{
		"s/%s-make": {146, 174}, "cpu-s/%s-make": {30.87, 35.24}, "B/%s": {189444096, 291688448},
	} {
		r := fleetRow{row: table.Row{}, metric: metric}
		if err := r.read(out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]float64{want[0], want[1]}, append(r.row.Ours, r.row.Peer...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", metric, diff)
		}
	}
	r := fleetRow{metric: "s/%s-make"}
	if err := r.read(strings.ReplaceAll(out, "clusterapi", "nobody")); err == nil {
		t.Error("a peer that did nothing has a result")
	}
}
