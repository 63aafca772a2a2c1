package service

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnitIsGolden(t *testing.T) {
	const golden = "testdata/drover-agent.service"
	got := unit("/usr/local/bin/drover-agent")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (UPDATE_GOLDEN=1 writes it):\n%s", diff)
	}
}

func TestAnAgentThatRunsIsReplaced(t *testing.T) {
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	script := "#!/bin/sh\necho \"$@\" >> " + said + "\n"
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if err := start(t.Context(), "drover-agent.service"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	want := "daemon-reload\nenable drover-agent.service\nrestart drover-agent.service\n" // a start would leave the old one
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("systemctl heard (-want +got):\n%s", diff)
	}
}

func TestOneAgentRunsAtATime(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); err == nil {
		t.Error("a second agent got the lock")
	}
	unlock()
	unlock, err = Lock(dir)
	if err != nil {
		t.Fatalf("the lock outlives its holder: %v", err)
	}
	unlock()
}
