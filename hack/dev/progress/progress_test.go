package progress_test

import (
	"bytes"
	"errors"
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
