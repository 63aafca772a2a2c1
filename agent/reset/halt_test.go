package reset

import (
	"strings"
	"testing"
)

func TestAHaltEndsTheComponentsAndRemovesNothing(t *testing.T) {
	o, out := machine(t)
	pid := startComponent(t, o, "kubelet")
	if err := Halt(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if startTime(pid) != 0 {
		t.Errorf("process %d still runs", pid)
	}
	for _, dir := range []string{o.StateDir, o.RunDir, o.Paths.KubeletDir, o.Paths.ContainerdRoot, o.Paths.LogDir} {
		if !exists(dir) {
			t.Errorf("%s is gone", dir)
		}
	}
	if !strings.Contains(out.String(), "Stopped the kubelet") {
		t.Errorf("it said:\n%s", out)
	}
}
