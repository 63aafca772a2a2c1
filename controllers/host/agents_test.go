package host

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// builtForARM is this test's own program with the mark of another architecture.
func builtForARM(t *testing.T) (own, other string) {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	const machineField = 18 // e_machine in the ELF header
	mark := elf.EM_AARCH64
	if runtime.GOARCH == "arm64" {
		mark = elf.EM_X86_64
	}
	binary.NativeEndian.PutUint16(program[machineField:], uint16(mark))
	other = filepath.Join(t.TempDir(), "drover-agent")
	if err := os.WriteFile(other, program, 0o600); err != nil {
		t.Fatal(err)
	}
	return own, other
}

func TestAnAgentOfAnotherArchitectureThanItsOwnIsRefused(t *testing.T) {
	own, other := builtForARM(t)
	foreign := "arm64"
	if runtime.GOARCH == "arm64" {
		foreign = "amd64"
	}
	agents, err := readAgents(map[string]string{runtime.GOARCH: own, foreign: other})
	if err != nil || len(agents) != 2 || agents[foreign].path != other || agents[foreign].digest == agents[runtime.GOARCH].digest {
		t.Errorf("the agents are %+v, %v", agents, err)
	}
	text := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(text, []byte(agentScript), 0o600); err != nil {
		t.Fatal(err)
	}
	for reason, test := range map[string]struct {
		paths map[string]string
		want  string
	}{
		"two that were swapped":  {map[string]string{runtime.GOARCH: other}, "is built for linux/" + foreign + " and was given for linux/" + runtime.GOARCH},
		"a file that is no ELF":  {map[string]string{runtime.GOARCH: text}, "is no program of Linux"},
		"a file that is missing": {map[string]string{runtime.GOARCH: text + "none"}, "no such file"},
	} {
		if got, err := readAgents(test.paths); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v, want an error with %q", reason, got, err, test.want)
		}
	}
}

func TestEachServerIsGivenTheAgentOfItsArchitecture(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	b.is(t, "aarch64")
	h := s.look("a")
	fit := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.HostFitCondition)
	if fit == nil || fit.Reason != v1alpha1.ReasonUnsupportedArchitecture || !strings.Contains(fit.Message, "arm64, and the manager has agents for amd64: start it with --agent-binary linux/arm64=") {
		t.Fatalf("a server that there is no agent for is %+v", fit)
	}
	s.machine("m")
	if m := s.make("m"); ready(m.Status.Conditions) != "False NoHost" || !strings.Contains(m.Status.Conditions[0].Message, "1 UnsupportedArchitecture") {
		t.Errorf("the machine is %+v", m.Status.Conditions)
	}
	for _, dir := range []string{"drover-host", "drover-host.visit"} {
		if b.has(dir) {
			t.Errorf("%s is left on a server that nothing was done to", dir)
		}
	}

	// The next manager has one.
	s.agents["arm64"] = script(t, strings.ReplaceAll(agentScript, `"architecture":"amd64"`, `"architecture":"arm64"`))
	s.hosts, s.machines = s.manager()
	if h = s.look("a"); h.Status.State != v1alpha1.HostAvailable || h.Status.Facts.Architecture != "arm64" {
		t.Fatalf("the server is %s with the agent of %s: %+v", h.Status.State, h.Status.Facts.Architecture, h.Status.Conditions)
	}
	if m := s.make("m"); ready(m.Status.Conditions) != "True Provisioned" {
		t.Errorf("the machine is %+v", m.Status.Conditions)
	}
	s.box("b").is(t, "pdp11")
	if h = s.look("b"); !strings.Contains(*messageOf(h), "pdp11, which Drover does not know; the manager has agents for amd64, arm64") {
		t.Errorf("a server of an unknown architecture says %q", *messageOf(h))
	}
}
