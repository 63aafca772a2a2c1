package machine_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/controllers/local/machine"
	"github.com/drover-dev/drover/controllers/local/machine/fakehost"
)

// half makes a machine whose manager may have ended before it had the machine's answer.
func half(t *testing.T, m *machine.Machines, want machine.Wanted, started bool) machine.State {
	t.Helper()
	state, err := m.Ensure(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(recordOf(m, want.Key))
	record := map[string]any{}
	if err := errors.Join(err, json.Unmarshal(data, &record)); err != nil {
		t.Fatal(err)
	}
	record["started"] = started
	data, err = json.Marshal(record)
	if err := errors.Join(err, os.WriteFile(recordOf(m, want.Key), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	return state
}

// TestAMachineNobodyCanLookAtIsLeftAlone: a manager short of descriptors or memory must not reboot what runs.
func TestAMachineNobodyCanLookAtIsLeftAlone(t *testing.T) {
	for name, started := range map[string]bool{"started": true, "half started": false} {
		t.Run(name, func(t *testing.T) {
			h := fakehost.New()
			m, want := newMachines(t, h), machineIn("a")
			first := half(t, m, want, started)
			h.NoLook = unix.EMFILE
			_, err := m.Ensure(t.Context(), want)
			for what, err := range map[string]error{"ensured": err, "rebooted": m.Reboot(t.Context(), want.Key), "removed": m.Remove(t.Context(), want.Key)} {
				if !errors.Is(err, unix.EMFILE) {
					t.Errorf("%s: got %v, want EMFILE", what, err)
				}
			}
			if !h.Processes()[first.Process] || len(h.Links) != 1 || len(h.Cgroups) != 3 || len(h.Launches) != 1 {
				t.Errorf("processes %v, links %v, cgroups %v, %d launches; want the first machine as it was", h.Processes(), h.Links, h.Cgroups, len(h.Launches))
			}
		})
	}
}

// TestAManagerThatEndsLeavesAMachineThatStarts to the next one.
func TestAManagerThatEndsLeavesAMachineThatStarts(t *testing.T) {
	h := fakehost.New()
	m, want := newMachines(t, h), machineIn("a")
	first := half(t, m, want, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Ensure(ctx, want); !errors.Is(err, context.Canceled) || !h.Processes()[first.Process] {
		t.Errorf("got %v and the processes %v, want the machine left as it was", err, h.Processes())
	}
}
