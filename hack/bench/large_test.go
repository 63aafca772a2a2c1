package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseBenchmark(t *testing.T) {
	out := "goos: linux\nBenchmarkPlan10000/complete-2 \t 100\t  11000000 ns/op\nBenchmarkPlan10000/up-2 \t 100\t  2000000 ns/op\nPASS\n"
	got, err := parseBenchmark(out, "ns/op", 2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{22000000, 4000000}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := parseBenchmark("PASS\n", "ns/op", 1); err == nil {
		t.Error("no result was taken for one")
	}
}
