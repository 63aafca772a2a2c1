package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
)

func TestIdle(t *testing.T) {
	tests := map[string]struct {
		reason         string
		started, ready bool
		machine        string
		want           string
	}{
		"no world": {
			reason: "The tests may start theirs.",
		},
		"a running world": {
			reason:  "It has the network and the ports, and is not the tests' to end.",
			started: true,
			ready:   true,
			want:    "a demo runs in this checkout, and the tests need its network and ports: run `make down` first",
		},
		"half a world": {
			reason:  "What a killed run left is in the way too.",
			started: true,
			want:    "an earlier run was left half-way: run `make down` first",
		},
		"a virtual machine": {
			reason:  "Its disk needs the image that the tests may have to make anew.",
			machine: `{"Name": "debian-1", "Address": "10.88.0.240"}`,
			want:    "virtual machine debian-1 at 10.88.0.240: is off: run `make down` first",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := layout.Layout{Repository: t.TempDir()}
			if tc.started {
				record(t, l, sleeper(t, l), tc.ready)
			}
			if tc.machine != "" {
				write(t, l.VM("machines", "debian-1", "machine.json"), tc.machine)
			}
			command := command()
			command.SetArgs([]string{"idle", "--repository", l.Repository})
			got := ""
			if err := command.ExecuteContext(t.Context()); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("idle says %q, want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

// sleeper starts a process in etcd's place.
func sleeper(t *testing.T, l layout.Layout) process.ID {
	t.Helper()
	id, err := process.Command{World: l.Root(), Name: "etcd", Path: "/bin/sleep", Args: []string{"100"}, Log: l.Logs("etcd")}.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop(context.WithoutCancel(t.Context()), id, time.Second) })
	return id
}

// record writes what a run would have recorded by then.
func record(t *testing.T, l layout.Layout, etcd process.ID, ready bool) {
	t.Helper()
	j, err := journal.Open(l.Journal())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Record(journal.Entry{Kind: journal.Process, Name: "etcd", PID: etcd.PID, StartTime: etcd.StartTime}); err != nil {
		t.Fatal(err)
	}
	if !ready {
		return
	}
	if err := j.MarkComplete(); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
