package progress_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/hack/dev/progress"
)

func TestStep(t *testing.T) {
	var out bytes.Buffer
	clock := time.Unix(0, 0)
	p := progress.New(&out, false, func() time.Time { return clock })

	if err := p.Step("Start etcd", func(say func(string)) error {
		clock = clock.Add(1500 * time.Millisecond)
		say("not healthy")
		say("not healthy")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := p.Step("Start the API server", func(func(string)) error {
		clock = clock.Add(time.Second)
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("Step returned %v, want the step's own error", err)
	}

	want := "   1.5s  … Start etcd: not healthy\n" +
		"   1.5s  ✓ Start etcd (1.5 s)\n" +
		"   2.5s  ✗ Start the API server (1.0 s)\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]progress.Done{{Name: "Start etcd", Took: 1500 * time.Millisecond}}, p.Steps()); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestAfter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "steps")
	if err := os.WriteFile(path, []byte("1000000\n90.5\tBuild etcd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := progress.New(&out, false, func() time.Time { return time.Unix(100, 0) })
	if err := p.After(path); err != nil {
		t.Fatal(err)
	}
	if err := p.Step("Start etcd", func(func(string)) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("  99.0s  ✓ Start etcd (0.0 s)\n", out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	want := []progress.Done{{Name: "Build etcd", Took: 90500 * time.Millisecond}, {Name: "Start etcd"}}
	if diff := cmp.Diff(want, p.Steps()); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

// The lines of hack/step.sh look like a Printer's.
func TestStepsOfTheBuild(t *testing.T) {
	tests := map[string]struct {
		reason  string
		command []string
		want    string
		noted   string
	}{
		"one that takes its time": {
			reason:  "It is announced, with what to expect, and noted for the table.",
			command: []string{"sleep", "2.5"},
			want:    `^ *\d+\.\ds  … Build etcd: takes minutes\n *\d+\.\ds  ✓ Build etcd \(2\.\d s\)\n$`,
			noted:   `^1000000\n2\.\d\tBuild etcd\n$`,
		},
		"one that had nothing to do": {
			reason:  "A warm build is quiet.",
			command: []string{"echo", "go: up to date"},
			want:    `^$`,
			noted:   `^1000000\n$`,
		},
		"one that fails": {
			reason:  "What it printed says why.",
			command: []string{"WHAT=etcd", "sh", "-c", "echo $WHAT: undefined; exit 1"},
			want:    `^ *\d+\.\ds  ✗ Build etcd \(0\.\d s\)\netcd: undefined\n$`,
			noted:   `^1000000\n$`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			steps := filepath.Join(t.TempDir(), "steps")
			if err := os.WriteFile(steps, []byte("1000000\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			step := exec.Command("../../step.sh", append([]string{"Build etcd", "takes minutes"}, tc.command...)...)
			step.Env = append(os.Environ(), "DROVER_STEPS="+steps)
			out, err := step.CombinedOutput()
			if failed := strings.Contains(tc.want, "✗"); (err != nil) != failed {
				t.Errorf("step.sh: %v", err)
			}
			if !regexp.MustCompile(tc.want).Match(out) {
				t.Errorf("output %q, want %s: %s", out, tc.want, tc.reason)
			}
			if noted, err := os.ReadFile(steps); err != nil || !regexp.MustCompile(tc.noted).Match(noted) {
				t.Errorf("noted %q (%v), want %s", noted, err, tc.noted)
			}
		})
	}
}
