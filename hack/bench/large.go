package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"

	"github.com/drover-dev/drover/hack/bench/table"
)

// large runs the Go benchmarks of fleets that are too large for one host, if it was asked for.
func (b *bench) large(ctx context.Context) error {
	fleet := table.Row{Measure: "500 simulated machines → Ready", Unit: table.Seconds, Budget: 18}
	plan := table.Row{Measure: "Plan for a pool of 10,000 machines", Unit: table.Milliseconds, Budget: 0.020, Worst: true}
	if b.all {
		if err := b.Progress.Step("500 simulated machines", func(func(string)) error {
			out, err := b.goBenchmark(ctx, "./cmd/manager/app", "Fleet", "-benchtime=1x")
			if err != nil {
				return err
			}
			fleet.Ours, err = parseBenchmark(out, "s/ready", 1)
			return err
		}); err != nil {
			return err
		}
		if err := b.Progress.Step("Plans for 10,000 machines", func(func(string)) error {
			out, err := b.goBenchmark(ctx, "./controllers/planner", "Plan10000", "-benchtime=1s")
			if err != nil {
				return err
			}
			plan.Ours, err = parseBenchmark(out, "ns/op", 1e-9)
			return err
		}); err != nil {
			return err
		}
	}
	b.add(fleet)
	b.add(plan)
	return nil
}

// hosts runs the Go benchmark of many servers at once.
func (b *bench) hosts(ctx context.Context) error {
	if !b.wants("hosts") {
		return nil
	}
	return b.Progress.Step("100 servers at once, twice", func(func(string)) error {
		out, err := b.goBenchmark(ctx, "./test/manyhosts", "Hosts", "-benchtime=1x")
		if err != nil {
			return err
		}
		memory, err := parseBenchmark(out, "B/manager", 1)
		if err != nil {
			return err
		}
		beside, err := parseBenchmark(out, "s/beside-slow", 1)
		if err != nil {
			return err
		}
		none, err := parseBenchmark(out, "s/none-slow", 1)
		if err != nil {
			return err
		}
		b.add(table.Row{Measure: "100 hosts at once: the manager's largest resident memory", Unit: table.Megabytes, Budget: 150e6, Ours: memory})
		b.add(table.Row{Measure: "100 hosts at once: the last of 80 quick ones, the others slow / quick", Unit: table.Seconds, Budget: 1.2, Ratio: true, Ours: beside, Peer: none})
		return nil
	})
}

// goBenchmark runs a benchmark once and returns what it prints.
func (b *bench) goBenchmark(ctx context.Context, pkg, name, times string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-trimpath", "-run=^$", "-bench="+name, times, "-timeout=20m", pkg)
	// An interrupt lets it remove what it made: go does not pass it on to the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = cleanupTimeout
	cmd.Dir, cmd.Env = b.Layout.Repository, append(os.Environ(), "KUBEBUILDER_ASSETS="+b.Layout.Bin())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w:\n%s", cmd, err, out)
	}
	return string(out), nil
}

// parseBenchmark returns what a benchmark's output says of the metric, times scale.
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
