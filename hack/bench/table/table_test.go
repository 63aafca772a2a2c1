package table

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrint(t *testing.T) {
	rows := []Row{
		{Measure: "restart", Ours: []float64{1.2, 1.4, 1.3}, Peer: []float64{1, 1, 1}, Budget: 1.5, Ratio: true, Unit: Seconds},
		{Measure: "join", Ours: []float64{3}, Peer: []float64{1}, Budget: 1.5, Ratio: true, Unit: Seconds},
		{Measure: "binary", Ours: []float64{28e6}, Budget: 30e6, Unit: Megabytes},
		{Measure: "kill", Ours: []float64{0.1, 0.2, 3}, Budget: 2, Worst: true, Unit: Milliseconds},
		{Measure: "fleet", Budget: 18, Unit: Seconds},
	}
	var out strings.Builder
	if err := Print(&out, rows); err != nil {
		t.Fatal(err)
	}
	want := `MEASURE   OURS                      PEER                      RATIO    BUDGET
restart   1.30 s (1.20 s to 1.40 s)   1.00 s (1.00 s to 1.00 s)   1.30 ×   ≤ 1.5 ×  ok
join      3.00 s                    1.00 s                    3.00 ×   ≤ 1.5 ×  OVER
binary    28.0 MB                   –                         –        ≤ 30.0 MB  ok
kill      200 ms (100 ms to 3000 ms) – – ≤ 2000 ms  OVER
fleet     –                         –                         –        not measured
`
	if diff := cmp.Diff(squeeze(want), squeeze(out.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// squeeze leaves the width of columns out of it.
func squeeze(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		reason  string
		samples []float64
		want    float64
	}{
		{"the middle one, in whatever order they came", []float64{3, 1, 2}, 2},
		{"the mean of the two in the middle", []float64{4, 1, 2, 3}, 2.5},
	} {
		if got := Median(tc.samples); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.reason, got, tc.want)
		}
	}
}
