package world

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
	"github.com/drover-dev/drover/hack/dev/progress"
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

func TestVirtualMachinesEnd(t *testing.T) {
	l := layout.Layout{Repository: t.TempDir()}
	w := &World{Layout: l, Progress: progress.New(io.Discard, false, time.Now)}
	dir := l.VM("machines", "debian-1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "machine.json"), []byte(`{"Name": "debian-1", "Address": "10.88.0.240"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := process.Command{World: l.Root(), Name: "vm debian-1", Path: "/bin/sleep", Args: []string{"100"}, Log: l.Logs("vm")}.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop(context.WithoutCancel(t.Context()), id, time.Second) })
	want := fmt.Sprintf("virtual machine debian-1 at 10.88.0.240: runs as process %d", id.PID)
	if lines, err := w.VirtualMachines(); err != nil || len(lines) != 1 || lines[0] != want {
		t.Errorf("VirtualMachines = %q, %v, want %q", lines, err, want)
	}
	if err := w.endVirtualMachines(t.Context()); err != nil {
		t.Fatal(err)
	}
	if process.Alive(id) {
		t.Error("The machine's process runs on")
	}
	if lines, err := w.VirtualMachines(); err != nil || len(lines) > 0 {
		t.Errorf("VirtualMachines = %q, %v, want none", lines, err)
	}
}
