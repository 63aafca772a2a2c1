package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What make passes on is what the user gave it, and nothing where they gave nothing: its variables share one space.
func TestMakePassesOnWhatTheUserGave(t *testing.T) {
	for _, c := range []struct {
		given []string
		want  string
	}{
		{nil, `run --labels 'NodeConformance && !Slow' --focus '' --node ''`},
		{[]string{"KUBERNETES_VERSION=v1.36.5"}, "/kube/v1.36.5/conformance.test --ginkgo "},
		{[]string{"LABELS=Conformance", "FOCUS=x", "NODE=pool=servers"}, `run --labels 'Conformance' --focus 'x' --node 'pool=servers'`},
	} {
		// The names alone are looked at; nothing is built.
		out, err := exec.CommandContext(t.Context(), "make", append([]string{"--dry-run", "--directory=../..", "conformance"}, c.given...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("make %v: %v: %s", c.given, err, out)
		}
		if !strings.Contains(string(out), c.want) {
			t.Errorf("make conformance %v would not %s:\n%s", c.given, c.want, out)
		}
	}
}
