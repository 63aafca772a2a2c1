package world

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
)

func TestRemovalInterruptedBefore(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if _, _, err := removal(ctx); err == nil || !strings.Contains(err.Error(), "run `make down` again") {
		t.Errorf("removal: %v, want that it was interrupted and what to do", err)
	}
}

// Half a world is of no use to anybody, and a cancelled context would have every process killed at once.
func TestRemovalInterruptedLater(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	removing, cancel, err := removal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	interrupt()
	if removing.Err() != nil {
		t.Errorf("the removal ended with the interrupt: %v", removing.Err())
	}
	if _, bounded := removing.Deadline(); !bounded {
		t.Error("the removal may last for ever")
	}
}

func TestAwaitReadyInterrupted(t *testing.T) {
	w := &World{Layout: layout.Layout{Repository: t.TempDir()}}
	if err := os.MkdirAll(w.Layout.Root(), 0o755); err != nil {
		t.Fatal(err)
	}
	id, err := process.Command{World: w.Layout.Root(), Name: Scheduler, Path: "/bin/sleep", Args: []string{"100"}, Log: w.Layout.Logs(Scheduler)}.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop(context.WithoutCancel(t.Context()), id, time.Second) })
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	err = w.awaitReady(ctx, Scheduler, id, func(string) {})
	if err == nil || !strings.HasPrefix(err.Error(), "Interrupted while kube-scheduler was starting") {
		t.Errorf("awaitReady: %v, want that it was interrupted: the process did not take too long", err)
	}
}
