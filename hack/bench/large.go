package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/drover-dev/drover/hack/bench/table"
)

// large runs the Go benchmarks of fleets that are too large for one host, if it was asked for.
func (b *bench) large(ctx context.Context) error {
	fleet := table.Row{Measure: "500 simulated machines → Ready", Unit: table.Seconds, Budget: 18}
	plan := table.Row{Measure: "Plan for a pool of 10,000 machines", Unit: table.Milliseconds, Budget: 0.020, Worst: true}
	if b.all {
		var err error
		if err = b.Progress.Step("500 simulated machines", func(func(string)) error {
			fleet.Ours, err = b.goBenchmark(ctx, "./cmd/manager/app", "Fleet", "s/ready", 1)
			return err
		}); err != nil {
			return err
		}
		if err = b.Progress.Step("Plans for 10,000 machines", func(func(string)) error {
			plan.Ours, err = b.goBenchmark(ctx, "./controllers/planner", "Plan10000", "ns/op", 1e-9)
			return err
		}); err != nil {
			return err
		}
	}
	b.add(fleet)
	b.add(plan)
	return nil
}

// goBenchmark runs a benchmark once and returns what it says of the metric, times scale.
func (b *bench) goBenchmark(ctx context.Context, pkg, name, metric string, scale float64) ([]float64, error) {
	times := "-benchtime=1x"
	if metric == "ns/op" {
		times = "-benchtime=1s"
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-trimpath", "-run=^$", "-bench="+name, times, "-timeout=20m", pkg)
	cmd.Dir, cmd.Env = b.Layout.Repository, append(os.Environ(), "KUBEBUILDER_ASSETS="+b.Layout.Bin())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w:\n%s", cmd, err, out)
	}
	return parseBenchmark(string(out), metric, scale)
}

func parseBenchmark(out, metric string, scale float64) ([]float64, error) {
	var samples []float64
	for _, match := range regexp.MustCompile(`(?m)^Benchmark.*\s([0-9.]+) `+regexp.QuoteMeta(metric)).FindAllStringSubmatch(out, -1) {
		v, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			return nil, fmt.Errorf("read a benchmark's result: %w", err)
		}
		samples = append(samples, v*scale)
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("no %s among the results of a benchmark:\n%s", metric, out)
	}
	return samples, nil
}
