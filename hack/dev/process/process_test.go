package process_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/drover-dev/drover/hack/dev/process"
	"github.com/drover-dev/drover/test/limits"
)

func start(t *testing.T, script string) (process.ID, process.Command) {
	t.Helper()
	dir := t.TempDir()
	c := process.Command{World: dir, Name: "sleeper", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(dir, "logs", "sleeper.log")}
	id, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop(context.WithoutCancel(t.Context()), id, 0) })
	return id, c
}

func TestStopEndsIt(t *testing.T) {
	id, c := start(t, "echo hello; exec sleep 100")
	if !process.Alive(id) {
		t.Fatal("it is not alive after Start")
	}
	awaitFound(t, c, id)
	if err := process.Stop(t.Context(), id, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if process.Alive(id) {
		t.Error("it is alive after Stop")
	}
	if err := process.Stop(t.Context(), id, time.Second); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
}

func TestStopKillsWhatIgnoresIt(t *testing.T) {
	id, c := start(t, "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
	awaitLog(t, c.Log)
	if err := process.Stop(t.Context(), id, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if process.Alive(id) {
		t.Error("it is alive after Stop")
	}
}

func TestAProcessThatCannotBeLookedAtIsNotTakenForEnded(t *testing.T) {
	id, _ := start(t, "exec sleep 100")
	alive := false
	limits.WithoutFiles(t, func() { alive = process.Alive(id) })
	if !alive {
		t.Error("it passes for ended without a file to look with")
	}
}

// An interrupt is no reason to kill what has not had its time to end, nor to say that SIGKILL did not help.
func TestStopInterrupted(t *testing.T) {
	id, c := start(t, "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
	awaitLog(t, c.Log)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := process.Stop(ctx, id, 5*time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop returned %v, want that it was interrupted", err)
	}
	if !process.Alive(id) {
		t.Error("it was killed at once")
	}
}

func TestStopSparesAnotherWithThatPID(t *testing.T) {
	id, _ := start(t, "exec sleep 100")
	other := process.ID{PID: id.PID, StartTime: id.StartTime - 1}
	if err := process.Stop(t.Context(), other, time.Second); err != nil {
		t.Fatal(err)
	}
	if !process.Alive(id) {
		t.Error("Stop ended a process that only has the PID in common")
	}
}

// awaitFound polls, because a process that is just replacing its program has no environment.
func awaitFound(t *testing.T, c process.Command, want process.ID) {
	t.Helper()
	var found []process.ID
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if found = process.Find(c.World, c.Name); len(found) == 1 && found[0] == want {
			return
		}
	}
	t.Fatalf("Find = %v, want %v", found, want)
}

func awaitLog(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if raw, err := os.ReadFile(path); err == nil && len(raw) > 0 {
			return
		}
	}
	t.Fatalf("nothing was written to %s", path)
}
