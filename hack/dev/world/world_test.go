package world_test

import (
	"path/filepath"
	"testing"

	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/process"
	"github.com/drover-dev/drover/hack/dev/world"
)

func TestStateOf(t *testing.T) {
	etcd := journal.Entry{Kind: journal.Process, Name: world.Etcd, PID: 1, StartTime: 10}
	manager := journal.Entry{Kind: journal.Process, Name: world.Manager, PID: 2, StartTime: 20}
	routes := journal.Entry{Kind: journal.Process, Name: world.Routes, PID: 3, StartTime: 30}
	tests := map[string]struct {
		reason   string
		entries  []journal.Entry
		complete bool
		dead     int
		want     world.State
	}{
		"nothing was done": {
			reason: "An empty record is no world.",
			want:   world.Absent,
		},
		"all processes run": {
			reason:   "A second `make demo` reuses it.",
			entries:  []journal.Entry{etcd, manager},
			complete: true,
			want:     world.Running,
		},
		"the run was killed half-way": {
			reason:  "Processes may run, but the start never came to its end.",
			entries: []journal.Entry{etcd},
			want:    world.Broken,
		},
		"etcd is gone": {
			reason:   "After a reboot of the host the record is still there.",
			entries:  []journal.Entry{etcd, manager},
			complete: true,
			dead:     etcd.PID,
			want:     world.Broken,
		},
		"the manager is gone": {
			reason:   "The manager can be started again beside a running control plane.",
			entries:  []journal.Entry{etcd, manager},
			complete: true,
			dead:     manager.PID,
			want:     world.Running,
		},
		"what follows the routes is gone": {
			reason:   "So can it.",
			entries:  []journal.Entry{etcd, manager, routes},
			complete: true,
			dead:     routes.PID,
			want:     world.Running,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			j, err := journal.Open(filepath.Join(t.TempDir(), "world.json"))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range tc.entries {
				if err := j.Record(e); err != nil {
					t.Fatal(err)
				}
			}
			if tc.complete {
				if err := j.MarkComplete(); err != nil {
					t.Fatal(err)
				}
			}
			alive := func(id process.ID) bool { return id.PID != tc.dead }
			if got := world.StateOf(j, alive); got != tc.want {
				t.Errorf("StateOf = %s, want %s: %s", got, tc.want, tc.reason)
			}
		})
	}
}
