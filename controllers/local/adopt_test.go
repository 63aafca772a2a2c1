package local

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// half makes a machine whose manager may have ended before it had the machine's answer.
func half(t *testing.T, m *Machines, want Wanted, started bool) State {
	t.Helper()
	state, err := m.Ensure(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	path := m.layout(want.Key).record()
	r, err := loadRecord(path)
	if err != nil {
		t.Fatal(err)
	}
	r.Started = started
	if err := saveJSON(path, r); err != nil {
		t.Fatal(err)
	}
	return state
}

// TestAMachineNobodyCanLookAtIsLeftAlone: a manager short of descriptors or memory must not reboot what runs.
func TestAMachineNobodyCanLookAtIsLeftAlone(t *testing.T) {
	for name, started := range map[string]bool{"started": true, "half started": false} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHost()
			m, want := newMachines(t, h), machineIn("a")
			first := half(t, m, want, started)
			h.noLook = unix.EMFILE
			_, err := m.Ensure(t.Context(), want)
			for what, err := range map[string]error{"ensured": err, "rebooted": m.Reboot(t.Context(), want.Key), "removed": m.Remove(t.Context(), want.Key)} {
				if !errors.Is(err, unix.EMFILE) {
					t.Errorf("%s: got %v, want EMFILE", what, err)
				}
			}
			if !h.processes()[first.Process] || len(h.links) != 1 || len(h.cgroups) != 3 || len(h.launch) != 1 {
				t.Errorf("processes %v, links %v, cgroups %v, %d launches; want the first machine as it was", h.processes(), h.links, h.cgroups, len(h.launch))
			}
		})
	}
}

// TestAManagerThatEndsLeavesAMachineThatStarts to the next one.
func TestAManagerThatEndsLeavesAMachineThatStarts(t *testing.T) {
	h := newFakeHost()
	m, want := newMachines(t, h), machineIn("a")
	first := half(t, m, want, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Ensure(ctx, want); !errors.Is(err, context.Canceled) || !h.processes()[first.Process] {
		t.Errorf("got %v and the processes %v, want the machine left as it was", err, h.processes())
	}
}
