package reset

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/agent/service"
)

func TestAHaltEndsTheComponentsAndRemovesNothing(t *testing.T) {
	o, out := machine(t)
	pid := startComponent(t, o, "kubelet")
	if err := Halt(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if runs(t, pid) {
		t.Errorf("process %d still runs", pid)
	}
	for _, dir := range []string{o.StateDir, o.RunDir, o.Paths.KubeletDir, o.Paths.ContainerdRoot, o.Paths.LogDir} {
		if !exists(dir) {
			t.Errorf("%s is gone", dir)
		}
	}
	if !strings.Contains(out.String(), "Stopped the kubelet") {
		t.Errorf("it said:\n%s", out)
	}
}

// TestAHaltLeavesAllToAReset: systemd runs the one as it stops the unit, for which the other waits.
func TestAHaltLeavesAllToAReset(t *testing.T) {
	o, out := machine(t)
	pid := startComponent(t, o, "kubelet")
	lock, _, err := service.LockForReset(t.Context(), o.RunDir, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := Halt(ctx, o); err != nil || !runs(t, pid) {
		t.Errorf("during a reset a halt fails (%v), or ends what the reset is about to end: %s", err, out)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Halt(ctx, o); err != nil || runs(t, pid) {
		t.Errorf("after a reset that was ended half-way a halt does nothing (%v): %s", err, out)
	}
}
