package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// On version 1 a paused container is frozen in one hierarchy, and its processes do not die in the others either.
func TestCgroupsOfAPausedContainerAreRemoved(t *testing.T) {
	name := fmt.Sprintf("drover-test-%d", os.Getpid())
	var c Cgroups
	for _, mount := range []string{"/sys/fs/cgroup/cpuset", "/sys/fs/cgroup/freezer"} {
		if _, err := os.Stat(mount + "/cgroup.procs"); err != nil {
			return // the host has version 2 alone
		}
		c.Remove = append(c.Remove, filepath.Join(mount, name))
		c.Make = append(c.Make, CgroupDir{Path: filepath.Join(mount, name)})
	}
	c.Make[0].Inherit = []string{"cpuset.cpus", "cpuset.mems"}
	if err := (LinuxHost{}).MakeCgroups(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := (LinuxHost{}).RemoveCgroups(context.WithoutCancel(t.Context()), c); err != nil {
			t.Error(err)
		}
	})
	process := exec.Command("/bin/sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	write := func(path, value string) {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			t.Error(err)
		}
	}
	freezer := filepath.Join(c.Remove[1], "freezer.state")
	for _, dir := range c.Remove {
		write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(process.Process.Pid))
	}
	write(freezer, "FROZEN")
	ended := make(chan struct{})
	go func() { defer close(ended); _ = process.Wait() }()
	if err := (LinuxHost{}).RemoveCgroups(t.Context(), c); err != nil {
		t.Error(err)
		write(freezer, "THAWED")
		_ = process.Process.Kill()
	}
	<-ended
}
