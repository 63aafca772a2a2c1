package machine_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/drover-dev/drover/controllers/local/machine"
	"github.com/drover-dev/drover/controllers/local/machine/fakehost"
)

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
			h := fakehost.New()
			m := newMachines(t, h)
			if _, err := m.Ensure(t.Context(), machineIn("a")); err != nil {
				t.Fatal(err)
			}
			var problem *machine.Problem
			if _, err := m.Ensure(t.Context(), other); !errors.As(err, &problem) {
				t.Fatalf("got %v for a second machine of the name, want it refused", err)
			}
			if c.record != "" {
				if err := os.WriteFile(recordOf(m, other.Key), []byte(c.record), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cgroups, links := len(h.Cgroups), len(h.Links)
			if err := m.Remove(t.Context(), other.Key); err != nil {
				t.Fatal(err)
			}
			if len(h.Cgroups) != cgroups || len(h.Links) != links || len(h.Processes()) != 1 {
				t.Errorf("%s: of %d cgroups %v are left, of %d links %v, processes %v", c.reason, cgroups, h.Cgroups, links, h.Links, h.Processes())
			}
			if _, err := os.Stat(directoryOf(m, other.Key)); !os.IsNotExist(err) {
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
			h := fakehost.New()
			m, want := newMachines(t, h), machineIn("a")
			if _, err := m.Ensure(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if err := spoil(recordOf(m, want.Key)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := m.Remove(t.Context(), want.Key); err != nil {
					t.Fatal(err)
				}
			}
			cgroup := filepath.Join("/sys/fs/cgroup/memory", machine.DefaultCgroupParent, want.Key.Name)
			if h.Cgroups[cgroup] || len(h.Links) != 0 {
				t.Errorf("cgroups %v and links %v are left", h.Cgroups, h.Links)
			}
		})
	}
}

// brokenHost cannot remove directories.
type brokenHost struct{ *fakehost.Host }

func (brokenHost) RemoveTree(string) error { return errors.New("the disk does not answer") }

// TestAMachineRemovedHalfWayIsRemovedWhole though another namespace has taken the name before the second try.
func TestAMachineRemovedHalfWayIsRemovedWhole(t *testing.T) {
	h := fakehost.New()
	m, want := newMachines(t, h), machineIn("a")
	if _, err := m.Ensure(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	m.Host = brokenHost{Host: h}
	if err := m.Remove(t.Context(), want.Key); err == nil {
		t.Fatal("a directory that stays is no error")
	}
	cgroup := filepath.Join("/sys/fs/cgroup/memory", machine.DefaultCgroupParent, want.Key.Name)
	if h.Cgroups[cgroup] || len(h.Processes())+len(h.Links) != 0 {
		t.Errorf("the cgroups %v, links %v and processes %v outlive the directory", h.Cgroups, h.Links, h.Processes())
	}
	m.Host = h
	if _, err := m.Ensure(t.Context(), machineIn("b")); err == nil {
		t.Error("the name was given away while the first machine's record was there")
	}
	if err := os.Remove(recordOf(m, want.Key)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Ensure(t.Context(), machineIn("b")); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(t.Context(), want.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(directoryOf(m, want.Key)); !os.IsNotExist(err) || !h.Cgroups[cgroup] || len(h.Processes()) != 1 {
		t.Errorf("the directory is left (%v), or the other machine is not: cgroups %v, processes %v", err, h.Cgroups, h.Processes())
	}
}
