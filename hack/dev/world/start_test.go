package world

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
)

func TestCheckCurrent(t *testing.T) {
	tests := map[string]struct {
		reason string
		name   string
		built  bool
		want   string
	}{
		"as it was started": {
			reason: "The demo goes on beside it.",
			name:   APIServer,
		},
		"built again": {
			reason: "An older API server with newer kubelets is not supported.",
			name:   APIServer,
			built:  true,
			want:   "kube-apiserver was built again since this demo started: run `make down`, then `make demo`.",
		},
		"the manager, built again": {
			reason: "It is started anew by itself.",
			name:   Manager,
			built:  true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := running(t, tc.name)
			if tc.built {
				installSleep(t, w.Layout.Bin(tc.name))
			}
			got := ""
			if err := w.checkCurrent(); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("checkCurrent: %q, want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

// running is a world with another program in place of the process.
func running(t *testing.T, name string) *World {
	t.Helper()
	l := layout.Layout{Repository: t.TempDir()}
	if err := os.MkdirAll(l.Bin(), 0o755); err != nil {
		t.Fatal(err)
	}
	installSleep(t, l.Bin(name))
	id, err := process.Command{World: l.Root(), Name: name, Path: l.Bin(name), Args: []string{"100"}, Log: l.Logs(name)}.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop(context.WithoutCancel(t.Context()), id, time.Second) })
	j, err := journal.Open(l.Journal())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Record(journal.Entry{Kind: journal.Process, Name: name, PID: id.PID, StartTime: id.StartTime}); err != nil {
		t.Fatal(err)
	}
	return &World{Layout: l, journal: j}
}

// installSleep puts a program there as go build does, in a new file.
func installSleep(t *testing.T, path string) {
	t.Helper()
	program, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
