package main

import "testing"

func TestPIDOf(t *testing.T) {
	tests := map[string]struct {
		reason    string
		processes map[string]int
		want      int
		fails     bool
	}{
		"a component that runs": {
			reason:    "It is the one to kill.",
			processes: map[string]int{"kubelet": 12},
			want:      12,
		},
		"one that does not run": {
			reason:    "Signals to process 0 go to the whole process group of the sender.",
			processes: map[string]int{"containerd": 12},
			fails:     true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := pidOf(tc.processes, "kubelet")
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("pidOf = %d, %v; want %d, an error: %t: %s", got, err, tc.want, tc.fails, tc.reason)
			}
		})
	}
}
