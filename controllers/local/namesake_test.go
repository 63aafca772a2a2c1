package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
)

// newMachines are on a fake host.
func newMachines(t *testing.T, h *fakeHost) *Machines {
	t.Helper()
	dir := t.TempDir()
	agent := filepath.Join(dir, "drover-agent")
	if err := os.WriteFile(agent, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return &Machines{Root: filepath.Join(dir, "machines"), Host: h, AgentBinary: agent, Log: logr.Discard()}
}

func machineIn(namespace string) Wanted {
	return Wanted{Key: types.NamespacedName{Namespace: namespace, Name: "x"}, UID: "uid-" + namespace, Bridge: "drover0", Bootstrap: []byte("{}")}
}

func TestRemovingAMachineLeavesItsNamesakeAlone(t *testing.T) {
	other := machineIn("b")
	cases := map[string]struct {
		reason string
		record string
	}{
		"refused":    {"a machine that was refused for its name has no record, and no cgroup", ""},
		"unreadable": {"a record that cannot be read does not say that the cgroup is its own", "{"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFakeHost()
			m := newMachines(t, h)
			if _, err := m.Ensure(t.Context(), machineIn("a")); err != nil {
				t.Fatal(err)
			}
			var problem *Problem
			if _, err := m.Ensure(t.Context(), other); !errors.As(err, &problem) {
				t.Fatalf("got %v for a second machine of the name, want it refused", err)
			}
			if c.record != "" {
				if err := os.WriteFile(m.layout(other.Key).record(), []byte(c.record), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cgroups, links := len(h.cgroups), len(h.links)
			if err := m.Remove(t.Context(), other.Key); err != nil {
				t.Fatal(err)
			}
			if len(h.cgroups) != cgroups || len(h.links) != links || len(h.processes()) != 1 {
				t.Errorf("%s: of %d cgroups %v are left, of %d links %v, processes %v", c.reason, cgroups, h.cgroups, links, h.links, h.processes())
			}
			if _, err := os.Stat(m.layout(other.Key).dir()); !os.IsNotExist(err) {
				t.Errorf("%s: its directory is still there (%v)", c.reason, err)
			}
		})
	}
}

// TestAMachineWithoutItsRecordIsRemovedWhole, as long as no other machine has its name: its cgroup is its own.
func TestAMachineWithoutItsRecordIsRemovedWhole(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"missing":    os.Remove,
		"unreadable": func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHost()
			m, want := newMachines(t, h), machineIn("a")
			if _, err := m.Ensure(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if err := spoil(m.layout(want.Key).record()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := m.Remove(t.Context(), want.Key); err != nil {
					t.Fatal(err)
				}
			}
			machine := filepath.Join("/sys/fs/cgroup/memory", DefaultCgroupParent, want.Key.Name)
			if h.cgroups[machine] || len(h.links) != 0 {
				t.Errorf("cgroups %v and links %v are left", h.cgroups, h.links)
			}
		})
	}
}

// brokenHost cannot remove directories.
type brokenHost struct{ *fakeHost }

func (brokenHost) RemoveTree(string) error { return errors.New("the disk does not answer") }

// TestAMachineRemovedHalfWayIsRemovedWhole though another namespace has taken the name before the second try.
func TestAMachineRemovedHalfWayIsRemovedWhole(t *testing.T) {
	h := newFakeHost()
	m, want := newMachines(t, h), machineIn("a")
	if _, err := m.Ensure(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	m.Host = brokenHost{h}
	if err := m.Remove(t.Context(), want.Key); err == nil {
		t.Fatal("a directory that stays is no error")
	}
	machine := filepath.Join("/sys/fs/cgroup/memory", DefaultCgroupParent, want.Key.Name)
	if h.cgroups[machine] || len(h.processes())+len(h.links) != 0 {
		t.Errorf("the cgroups %v, links %v and processes %v outlive the directory", h.cgroups, h.links, h.processes())
	}
	m.Host = h
	if _, err := m.Ensure(t.Context(), machineIn("b")); err == nil {
		t.Error("the name was given away while the first machine's record was there")
	}
	if err := os.Remove(m.layout(want.Key).record()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Ensure(t.Context(), machineIn("b")); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(t.Context(), want.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.layout(want.Key).dir()); !os.IsNotExist(err) || !h.cgroups[machine] || len(h.processes()) != 1 {
		t.Errorf("the directory is left (%v), or the other machine is not: cgroups %v, processes %v", err, h.cgroups, h.processes())
	}
}
