package reset

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/baseline"
	"github.com/drover-dev/drover/internal/cgroup"
	"github.com/drover-dev/drover/test/limits"
)

func TestWhatCannotBeLookedAtIsNotTakenForGone(t *testing.T) {
	o, _ := machine(t)
	pid := startComponent(t, o, "kubelet")
	put(t, o.Root+"/cgroup/pod/cgroup.procs", "1\n")
	put(t, o.Root+"/proc/sys/vm/panic_on_oom", "1\n")
	r := &resetter{Options: o, before: baseline.Baseline{Sysctls: map[string]string{"vm/panic_on_oom": "0"}}}
	looks := map[string]func() error{
		"a component":            func() error { _, err := startTime(pid); return err },
		"the shims":              func() error { _, err := r.killShims(map[int]bool{}); return err },
		"the cgroups' processes": func() error { _, _, err := cgroup.Kill(o.Root + "/cgroup/pod"); return err },
		"the cgroups":            func() error { return cgroup.RemoveEmpty(o.Root + "/cgroup/pod") },
		"the pods' cgroups":      func() error { _, err := r.podCgroups(); return err },
		"the records":            func() error { return r.stopComponents(t.Context()) },
		"the processes that are left": func() error {
			_, err := r.processesLeft()
			return err
		},
		"the mounts of what is left": func() error { _, err := isLeft(o.StateDir); return err },
		"the kernel's parameters":    r.restoreSysctls,
	}
	for name, look := range looks {
		var err error
		limits.WithoutFiles(t, func() { err = look() })
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: %v without a file to look with, want the error", name, err)
		}
	}
	if !runs(t, pid) {
		t.Error("the component ended")
	}
}

func TestAPathThatCannotBeFollowedMayBeLeft(t *testing.T) {
	o, _ := machine(t)
	config := o.Paths.ConfigDir
	loop := filepath.Join(filepath.Dir(config), "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	o.Paths.ConfigDir = loop + "/components"
	if _, err := Left(o); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%v, want that %s cannot be looked at", err, o.Paths.ConfigDir)
	}
	kubelet := o.Paths.KubeletDir
	o.Paths.ConfigDir, o.Paths.KubeletDir = config, loop+"/kubelet"
	if _, err := Left(o); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%v, want that nobody knows whose %s is", err, o.Paths.KubeletDir)
	}
	if err := Run(t.Context(), o); !errors.Is(err, unix.ELOOP) || !exists(o.StateDir) {
		t.Errorf("%v, want that the directory is not taken for another's, and all is left for another reset", err)
	}
	o.Paths.KubeletDir, o.StateDir = kubelet, loop+"/state"
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "look for an agent") {
		t.Errorf("%v, want that nobody knows whether there is an agent", err)
	}
	o.Paths.ConfigDir = o.Paths.CNIConfDir + "/99-others.conf/components"
	o.StateDir = o.Paths.ConfigDir
	if left, err := (&resetter{Options: o}).left(false); err != nil || strings.Contains(strings.Join(left, " "), o.StateDir) {
		t.Errorf("%v, %v: below a file there is nothing", left, err)
	}
}
