package service

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnitsAreGolden(t *testing.T) {
	for name, text := range map[string]string{"drover-agent.service": agentUnit, "drover-node.service": nodeUnit, "drover.slice": sliceUnit} {
		golden := filepath.Join("testdata", name)
		got := unit(text)
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
			t.Errorf("%s: -want +got (UPDATE_GOLDEN=1 writes it):\n%s", name, diff)
		}
	}
}

// prepared is a machine that systemd runs, whose systemctl writes down what it hears and says that what it read is outdated
// once there is a file "outdated", and a program to install there.
func prepared(t *testing.T) (o Options, heard func() string) {
	t.Helper()
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	write(t, filepath.Join(dir, "bin/systemctl"), "#!/bin/sh\necho \"$@\" >> "+said+"\n"+
		"case $1 in show) [ ! -e "+filepath.Join(dir, "machine/outdated")+" ] || echo yes ;; try-restart) [ ! -e "+filepath.Join(dir, "machine/fails")+" ] ;; esac\n")
	write(t, filepath.Join(dir, "upload"), "a program")
	write(t, filepath.Join(dir, "machine/run/systemd/system/x"), "")
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	return Options{Root: filepath.Join(dir, "machine"), Binary: filepath.Join(dir, "upload"), Out: io.Discard}, func() string {
		data, _ := os.ReadFile(said)
		_ = os.Remove(said)
		return string(data)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestAnAgentWithoutABootstrapDocumentIsNotInstalled(t *testing.T) {
	o, heard := prepared(t)
	if err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--bootstrap") {
		t.Errorf("got %v, want what to give", err)
	}
	if said := heard(); said != "" || o.Installed() {
		t.Errorf("something was installed (%t) and systemd heard %q", o.Installed(), said)
	}
}

func TestACopyOfTheAgentIsInstalledAndRestarted(t *testing.T) {
	o, heard := prepared(t)
	o.Bootstrap = filepath.Join(t.TempDir(), "bootstrap.json")
	write(t, o.Bootstrap, "{}")
	if err := Install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	const (
		networkd = "try-restart systemd-networkd.service\n"
		ask      = "show --property=NeedDaemonReload --value drover.slice drover-node.service drover-agent.service\n"
		restart  = "enable --no-reload drover-node.service drover-agent.service\nrestart drover-agent.service\n"
	)
	said := heard()
	if diff := cmp.Diff(restart, strings.Replace(said, networkd, "", 1)); diff != "" || !strings.Contains(said, networkd) {
		t.Errorf("systemctl heard %q (-want +got, but for networkd):\n%s", said, diff)
	}
	if info, err := os.Stat(o.path("/etc/drover/bootstrap.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the bootstrap document, which has a secret, is %v, %v", info, err)
	}
	first := installed(t, o)
	write(t, o.Binary, "a newer program")
	o.Bootstrap = ""
	write(t, o.path("outdated"), "")
	if err := Install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ask+"daemon-reload\n"+restart, heard()); diff != "" { // networkd has what it needs; a mere start would leave the old agent
		t.Errorf("the second time systemctl heard (-want +got):\n%s", diff)
	}
	if second := installed(t, o); len(first) != 1 || len(second) != 1 || first[0] == second[0] {
		t.Errorf("%v was installed, and then %v", first, second)
	}
}

func TestNetworkdIsToldByTheNextInstallIfTheLastWasCutShort(t *testing.T) {
	o, heard := prepared(t)
	write(t, o.path("/etc/drover/bootstrap.json"), "{}")
	write(t, o.path("/fails"), "")
	if err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "systemd-networkd") {
		t.Fatalf("got %v, want that networkd could not be restarted", err)
	}
	_ = heard()
	if err := os.Remove(o.path("/fails")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if err := Install(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if said := heard(); strings.Contains(said, "try-restart systemd-networkd") != want {
			t.Errorf("systemctl heard %q, want that networkd is restarted: %t", said, want)
		}
	}
}

func TestAnAgentGoesByTheDigestThatItIsGiven(t *testing.T) {
	o, _ := prepared(t)
	write(t, o.path("/etc/drover/bootstrap.json"), "{}")
	o.SHA256 = "not one"
	if err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not a SHA-256") {
		t.Errorf("got %v, want what is wrong", err)
	}
	o.SHA256 = strings.Repeat("0123456789abcdef", 4)
	if err := Install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := installed(t, o); len(got) != 1 || filepath.Base(filepath.Dir(got[0])) != "0123456789abcdef" {
		t.Errorf("%v was installed, want it by its digest", got)
	}
	// The second time the one is the other already.
	for range 2 {
		if err := Install(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(o.path("/var/lib/drover/agent/0123456789abcdef")); err != nil || len(left) != 1 {
		t.Errorf("beside the agent there is something: %v, %v", left, err)
	}
	write(t, o.Binary+".new", "a newer program")
	if err := os.Rename(o.Binary+".new", o.Binary); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(installed(t, o)[0]); err != nil || string(got) != "a program" {
		t.Errorf("what is installed went with what was replaced: %q, %v", got, err)
	}
}

// installed are the agents on a machine.
func installed(t *testing.T, o Options) []string {
	t.Helper()
	found, err := filepath.Glob(o.path("/var/lib/drover/agent/[0-9a-f]*[0-9a-f]/drover-agent"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAnInstallTakesOverFromWhateverRan(t *testing.T) {
	o, _ := prepared(t)
	write(t, o.path("/etc/drover/bootstrap.json"), "{}")
	write(t, o.path(UnitPath), "[Service]\nType=exec\nExecStart=/var/lib/drover/agent/fedcba9876543210/drover-agent run\n")
	write(t, o.path("/var/lib/drover/agent/fedcba9876543210/drover-agent"), "one without a link to it")
	updated := strings.Repeat("0123456789abcdef", 4)
	write(t, o.path("/var/lib/drover/agent/"+updated+"/drover-agent"), "one that had installed itself")
	write(t, o.path("/var/lib/drover/agent/update.json"), `{"schema":1,"trial":{"version":"v2","digest":"sha256:`+updated+`"}}`)
	if err := Install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	found := installed(t, o)
	if got, err := os.ReadFile(o.path("/var/lib/drover/agent/current/drover-agent")); err != nil || string(got) != "a program" || len(found) != 1 {
		t.Errorf("the link leads to %q (%v), and there are %v", got, err, found)
	}
	if text, err := os.ReadFile(o.path(UnitPath)); err != nil || !strings.Contains(string(text), "ExecStart=/var/lib/drover/agent/current/drover-agent run\n") {
		t.Errorf("the unit does not go by the link (%v):\n%s", err, text)
	}
	if _, err := os.Stat(o.path("/var/lib/drover/agent/update.json")); err == nil {
		t.Error("the other is still on trial")
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
