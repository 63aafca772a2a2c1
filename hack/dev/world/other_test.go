package world_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/world"
)

func TestFindOther(t *testing.T) {
	type found struct{ other, lost bool }
	tests := map[string]struct {
		reason  string
		started bool
		remove  string // of the folder where the world was started
		here    bool   // look from that folder
		want    found
	}{
		"no world": {
			reason: "A host without the record has none.",
		},
		"this checkout's": {
			reason:  "Its own record tells all.",
			started: true,
			here:    true,
		},
		"another checkout's": {
			reason:  "It is for that one to remove.",
			started: true,
			want:    found{other: true},
		},
		"a removed checkout's": {
			reason:  "Nobody else is left to remove it.",
			started: true,
			remove:  ".",
			want:    found{other: true, lost: true},
		},
		"this checkout's without its record": {
			reason:  "After `git clean` or a new clone in its place, the host's record tells what there is.",
			started: true,
			remove:  ".drover",
			here:    true,
			want:    found{other: true, lost: true},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			hostRecord, there, here := filepath.Join(dir, "run.json"), layout.Layout{Repository: filepath.Join(dir, "there")}, layout.Layout{Repository: dir}
			if tc.started {
				start(t, there, hostRecord)
			}
			if tc.remove != "" {
				if err := os.RemoveAll(filepath.Join(there.Repository, tc.remove)); err != nil {
					t.Fatal(err)
				}
			}
			if tc.here {
				here = there
			}
			other, err := world.FindOther(hostRecord, here)
			if err != nil {
				t.Fatal(err)
			}
			if got := (found{other: other != nil, lost: other != nil && other.Lost}); got != tc.want {
				t.Errorf("FindOther: %+v, want %+v: %s", got, tc.want, tc.reason)
			}
			if other != nil && other.Folder() != there.Repository {
				t.Errorf("its folder is %s, want %s", other.Folder(), there.Repository)
			}
		})
	}
}

// start records a world as a run of that checkout does.
func start(t *testing.T, l layout.Layout, hostRecord string) {
	t.Helper()
	j, err := journal.Open(l.Journal())
	if err != nil {
		t.Fatal(err)
	}
	j.KeepCopy(hostRecord, l.Root())
	if err := j.Record(journal.Entry{Kind: journal.Link, Name: layout.Bridge}); err != nil {
		t.Fatal(err)
	}
}
