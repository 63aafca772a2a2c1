package machine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-dev/drover/api/node"
)

func TestInitFallsBackToThePreviousAgent(t *testing.T) {
	w := newWorld(t)
	want := testWanted("fallback")
	state := w.ensure(want)
	ask(t, state, "/exec", "command", "cp "+node.AgentPath+" "+node.PreviousAgentPath+" && rm "+node.AgentPath+" && printf '#!/bin/sh\\nexit 1\\n' > "+node.AgentPath+" && chmod 755 "+node.AgentPath)
	before := strings.TrimSpace(ask(t, state, "/exec", "command", "readlink /proc/$PPID/exe"))
	if !strings.HasPrefix(before, node.AgentPath) {
		t.Fatalf("the agent runs from %s", before)
	}
	if resp, err := get(state, "/exit"); err == nil {
		t.Fatalf("the agent did not exit: %s", resp.Status)
	}
	if after := strings.TrimSpace(ask(t, state, "/exec", "command", "readlink /proc/$PPID/exe")); after != node.PreviousAgentPath {
		console, _ := os.ReadFile(w.layout(want.Key).console())
		t.Errorf("after the new agent failed to start, %s runs, want the previous one\n%s", after, console)
	}
}

func TestInitReapsAndStops(t *testing.T) {
	w := newWorld(t)
	want := testWanted("reaper")
	state := w.ensure(want)
	ask(t, state, "/exec", "command", "(trap 'touch /var/lib/told; exit' TERM; while :; do sleep 0.05; done) >/dev/null 2>&1 & (sleep 0.01 &) ; true")
	eventually(t, "init reaped the orphan", func() bool {
		return strings.TrimSpace(ask(t, state, "/exec", "command", "grep -l 'State:.Z' /proc/[0-9]*/status; true")) == ""
	})
	if err := w.Reboot(context.Background(), want.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.layout(want.Key).variable(), "lib", "told")); err != nil {
		t.Errorf("an orphan was not told to stop: %v", err)
	}
}

func TestMachineWithUnremovableFilesIsRemoved(t *testing.T) {
	w := newWorld(t)
	want := testWanted("stubborn")
	state := w.ensure(want)
	ask(t, state, "/exec", "command", "mkdir -p /var/lib/x && touch /var/lib/x/y && chattr +i /var/lib/x/y && chattr +a /var/lib/x")
	if err := w.Remove(context.Background(), want.Key); err != nil {
		t.Fatal(err)
	}
	w.nothingLeft(want.Key, state.Process)
}
