package table

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// Row is one measure.
type Row struct {
	Measure string
	// Ours and Peer are the samples; Peer is empty where there is nothing to compare with.
	Ours, Peer []float64
	// Budget is the most that Ours may be, or with Ratio the most that Ours divided by Peer may be. 0 is none.
	Budget float64
	Ratio  bool
	// Worst has the budget hold for the largest of Ours, not for their median.
	Worst bool
	Unit  Unit
}

// Unit prints a number.
type Unit func(float64) string

// Seconds prints seconds.
func Seconds(v float64) string { return fmt.Sprintf("%.2f s", v) }

// Milliseconds prints seconds as milliseconds.
func Milliseconds(v float64) string { return fmt.Sprintf("%.0f ms", v*1000) }

// Megabytes prints bytes as megabytes of 10⁶ bytes.
func Megabytes(v float64) string { return fmt.Sprintf("%.1f MB", v/1e6) }

// Percent prints a part of one.
func Percent(v float64) string { return fmt.Sprintf("%.2f %%", v*100) }

// Count prints a number that has no unit.
func Count(v float64) string { return fmt.Sprintf("%.1f", v) }

// Durations are samples of time, in seconds.
func Durations(of []time.Duration) []float64 {
	samples := make([]float64, 0, len(of))
	for _, d := range of {
		samples = append(samples, d.Seconds())
	}
	return samples
}

// Median is the middle of the samples, NaN of none.
func Median(samples []float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// cell is the median, and where there are more samples how far they spread.
func (r *Row) cell(samples []float64) string {
	switch len(samples) {
	case 0:
		return "–"
	case 1:
		return r.Unit(samples[0])
	}
	return fmt.Sprintf("%s (%s to %s)", r.Unit(Median(samples)), r.Unit(slices.Min(samples)), r.Unit(slices.Max(samples)))
}

func (r *Row) ratio() string {
	if len(r.Peer) == 0 || len(r.Ours) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f ×", Median(r.Ours)/Median(r.Peer))
}

// Over says whether the measure is over its budget.
func (r *Row) Over() bool {
	value := Median(r.Ours)
	if r.Worst && len(r.Ours) > 0 {
		value = slices.Max(r.Ours)
	}
	if r.Ratio {
		value /= Median(r.Peer)
	}
	return r.Budget > 0 && value > r.Budget
}

func (r *Row) budget() string {
	switch {
	case r.Budget == 0:
		return "–"
	case len(r.Ours) == 0:
		return "not measured"
	}
	limit := "≤ " + r.Unit(r.Budget)
	if r.Ratio {
		limit = fmt.Sprintf("≤ %.1f ×", r.Budget)
	}
	if r.Over() {
		return limit + "  OVER"
	}
	return limit + "  ok"
}

// Print prints the rows.
func Print(out io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "MEASURE\tOURS\tPEER\tRATIO\tBUDGET") // the writer keeps errors for Flush
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Measure, r.cell(r.Ours), r.cell(r.Peer), r.ratio(), r.budget())
	}
	return w.Flush()
}
