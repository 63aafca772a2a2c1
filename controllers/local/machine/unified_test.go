package machine

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-dev/drover/api/node"
)

// unifiedHost sees only the version 2 hierarchy of a hybrid host: machines go the way they go on version 2.
type unifiedHost struct{ LinuxHost }

func (h unifiedHost) Facts(root string) (Facts, error) {
	facts, err := h.LinuxHost.Facts(root)
	if err != nil {
		return facts, err
	}
	all := facts.Hierarchies
	facts.CgroupVersion, facts.Hierarchies, facts.CgroupLinks = 2, nil, nil
	for _, hierarchy := range all {
		if hierarchy.Unified {
			facts.Hierarchies = append(facts.Hierarchies, hierarchy)
		}
	}
	return facts, nil
}

func TestMachineInItsOwnCgroupNamespace(t *testing.T) {
	w := newWorld(t)
	w.Host = unifiedHost{}
	if facts, err := w.Host.Facts(w.Root); err != nil || len(facts.Hierarchies) == 0 {
		t.Fatalf("this host has no version 2 hierarchy to try: mount cgroup2 below /sys/fs/cgroup (%v)", err)
	}
	want := testWanted("unified")
	state := w.ensure(want)
	var unified string
	for line := range strings.Lines(ask(t, state, "/read", "path", "/proc/self/cgroup")) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			unified = strings.TrimSpace(rest)
		}
	}
	if unified != "/system" {
		t.Errorf("the agent is in the cgroup %s, want /system of the machine's own namespace", unified)
	}
	if got := ask(t, state, "/list", "path", "/sys/fs/cgroup/system"); !strings.Contains(got, "cgroup.procs") {
		t.Errorf("/sys/fs/cgroup is not the machine's own: system has %s", got)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/memory/" + testCgroup); len(left) > 0 {
		t.Errorf("version 1 was touched: %v", left)
	}
	if err := w.Reboot(context.Background(), want.Key); err != nil {
		t.Fatal(err)
	}
	state = w.ensure(want)
	if got := strings.TrimSpace(ask(t, state, "/read", "path", node.BootIDPath)); got != state.BootID {
		t.Errorf("boot ID %s after a reboot, want %s", got, state.BootID)
	}
	if err := w.Remove(context.Background(), want.Key); err != nil {
		t.Fatal(err)
	}
	w.nothingLeft(want.Key, state.Process)
}
