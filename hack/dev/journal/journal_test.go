package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/hack/dev/journal"
)

func open(t *testing.T, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func record(t *testing.T, j *journal.Journal, entries ...journal.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := j.Record(e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUndoGoesBackwards(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "world.json")
	j := open(t, path)
	if j.Exists() {
		t.Error("a journal without a file exists")
	}
	record(t, j,
		journal.Entry{Kind: journal.Link, Name: "drover0"},
		journal.Entry{Kind: journal.Process, Name: "etcd"},
		journal.Entry{Kind: journal.Process, Name: "kube-apiserver"},
		journal.Entry{Kind: journal.Process, Name: "etcd", PID: 7, StartTime: 9},
	)

	var undone []string
	err := open(t, path).Undo(func(e journal.Entry) error {
		undone = append(undone, e.Name)
		if e.Name == "etcd" && e.PID != 7 {
			t.Errorf("etcd's PID is %d, want the one recorded last, 7", e.PID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kube-apiserver", "etcd", "drover0"}, undone); diff != "" {
		t.Errorf("Undo's order (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the journal is still there after everything was undone: %v", err)
	}
}

func TestUndoKeepsWhatFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "world.json")
	j := open(t, path)
	record(t, j,
		journal.Entry{Kind: journal.Link, Name: "drover0"},
		journal.Entry{Kind: journal.Sysctl, Name: "net.ipv4.ip_forward", Former: "0"},
		journal.Entry{Kind: journal.Process, Name: "etcd"},
	)
	stuck := errors.New("it does not end")
	err := j.Undo(func(e journal.Entry) error {
		if e.Kind == journal.Process {
			return stuck
		}
		return nil
	})
	if !errors.Is(err, stuck) {
		t.Errorf("Undo returned %v, want %v", err, stuck)
	}
	want := []journal.Entry{{Kind: journal.Process, Name: "etcd"}}
	if diff := cmp.Diff(want, open(t, path).Entries); diff != "" {
		t.Errorf("entries left (-want +got):\n%s", diff)
	}
}

func TestFormerSysctlIsTheFirst(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "world.json"))
	record(t, j,
		journal.Entry{Kind: journal.Sysctl, Name: "net.ipv4.ip_forward", Former: "0"},
		journal.Entry{Kind: journal.Sysctl, Name: "net.ipv4.ip_forward", Former: "1"},
	)
	if got := j.Of(journal.Sysctl)[0].Former; got != "0" {
		t.Errorf("former value = %q, want 0: the second run saw our own change", got)
	}
}

func TestOpenRefusesRubbish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "world.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(path); err == nil {
		t.Error("Open took half a file")
	}
}

func TestTheCopyTellsTheSame(t *testing.T) {
	dir := t.TempDir()
	path, duplicate := filepath.Join(dir, "world.json"), filepath.Join(dir, "run", "copy.json")
	j := open(t, path)
	j.KeepCopy(duplicate, dir)
	record(t, j, journal.Entry{Kind: journal.Link, Name: "drover0"})

	read := open(t, duplicate)
	if read.World != dir {
		t.Errorf("the copy is of the world %q, want %q", read.World, dir)
	}
	if diff := cmp.Diff(j.Entries, read.Entries); diff != "" {
		t.Errorf("entries of the copy (-journal +copy):\n%s", diff)
	}
	if err := j.Undo(func(journal.Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, duplicate} {
		if _, err := os.Stat(p); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there after everything was undone: %v", p, err)
		}
	}
}

func TestAnEarlierBootLeavesWhatIsOnDisk(t *testing.T) {
	link := journal.Entry{Kind: journal.Link, Name: "drover0"}
	sysctl := journal.Entry{Kind: journal.Sysctl, Name: "net.ipv4.ip_forward", Former: "0", Set: "1"}
	table := journal.Entry{Kind: journal.NFTable, Name: "drover_dev"}
	routes := journal.Entry{Kind: journal.Routes, Name: "10.244.0.0/16"}
	data := journal.Entry{Kind: journal.Files, Name: "etcd"}
	etcd := journal.Entry{Kind: journal.Process, Name: "etcd", PID: 7, StartTime: 9}
	machines := journal.Entry{Kind: journal.Machines, Name: "machines"}
	all := []journal.Entry{link, sysctl, table, routes, data, etcd, machines}
	tests := map[string]struct {
		reason  string
		boot    func(string) string
		want    []journal.Entry
		earlier bool
	}{
		"this boot": {
			reason: "All of it is there to undo.",
			boot:   func(now string) string { return now },
			want:   all,
		},
		"an earlier boot": {
			reason:  "The host may have set ip_forward itself since, and PIDs are others' now.",
			boot:    func(string) string { return "5ab1b1c2-0000-4000-8000-000000000000" },
			want:    []journal.Entry{data, machines},
			earlier: true,
		},
		"no boot": {
			reason: "An older program did not record it, and its world may run.",
			boot:   func(string) string { return "" },
			want:   all,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "world.json")
			j := open(t, path)
			record(t, j, all...)
			j.Boot = tc.boot(j.Boot)
			if err := j.MarkComplete(); err != nil {
				t.Fatal(err)
			}
			read := open(t, path)
			if diff := cmp.Diff(tc.want, read.Entries); diff != "" {
				t.Errorf("entries (-want +got): %s\n%s", tc.reason, diff)
			}
			if read.OfEarlierBoot() != tc.earlier || read.Complete == tc.earlier {
				t.Errorf("of an earlier boot: %t, complete: %t; want %t and the contrary: %s", read.OfEarlierBoot(), read.Complete, tc.earlier, tc.reason)
			}
		})
	}
}
