package kernel

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/drover-dev/drover/agent/host"
)

// PrepareCgroups makes the cgroup that pods go under usable: on version 1 it exists in every controller and its cpuset
// has the processors and memory nodes of its parent; on version 2 every needed controller is passed down to it.
func (k *Kernel) PrepareCgroups(f host.Facts) error {
	if f.CgroupVersion == 1 {
		return k.prepareV1(f.CgroupRoot)
	}
	if err := k.prepareV2(f.CgroupRoot); err != nil || f.ComponentCgroup == "" {
		return err
	}
	dir := path.Join(host.CgroupMount, f.ComponentCgroup)
	if err := os.MkdirAll(k.Host.Path(dir), 0o755); err != nil {
		return cgroupError(dir, err)
	}
	return k.passDown(dir)
}

func (k *Kernel) prepareV1(root string) error {
	for _, mount := range k.Host.CgroupV1Mounts() {
		dir := path.Join(mount, root)
		if err := os.MkdirAll(k.Host.Path(dir), 0o755); err != nil {
			return cgroupError(dir, err)
		}
		if strings.Contains(path.Base(mount), "cpuset") {
			if err := k.copyCpusets(mount, root); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyCpusets copies processors and memory nodes from the hierarchy's root down; an empty cpuset takes no process.
func (k *Kernel) copyCpusets(mount, root string) error {
	dir := mount
	for part := range strings.SplitSeq(strings.Trim(root, "/"), "/") {
		parent := dir
		dir = path.Join(dir, part)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if dir == parent || k.Host.Text(path.Join(dir, file)) != "" {
				continue
			}
			if err := os.WriteFile(k.Host.Path(path.Join(dir, file)), []byte(k.Host.Text(path.Join(parent, file))), 0o644); err != nil {
				return cgroupError(dir, err)
			}
		}
	}
	return nil
}

func (k *Kernel) prepareV2(root string) error {
	dir := host.CgroupMount
	parts := strings.Split(strings.Trim(root, "/"), "/")
	for i := -1; i < len(parts); i++ {
		if i >= 0 {
			dir = path.Join(dir, parts[i])
		}
		if err := os.MkdirAll(k.Host.Path(dir), 0o755); err != nil {
			return cgroupError(dir, err)
		}
		if err := k.passDown(dir); err != nil {
			return err
		}
	}
	return nil
}

// passDown enables the needed controllers for the children of a cgroup, as far as it has them itself.
func (k *Kernel) passDown(dir string) error {
	have := strings.Fields(k.Host.Text(dir + "/cgroup.subtree_control"))
	var missing []string
	for _, name := range strings.Fields(k.Host.Text(dir + "/cgroup.controllers")) {
		if !slices.Contains(have, name) && wantedOnV2(name) {
			missing = append(missing, "+"+name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := os.WriteFile(k.Host.Path(dir+"/cgroup.subtree_control"), []byte(strings.Join(missing, " ")), 0o644); err != nil {
		return cgroupError(dir, err)
	}
	return nil
}

// wantedOnV2 are the controllers that the kubelet turns on for pods where they exist.
func wantedOnV2(name string) bool {
	return slices.Contains([]string{"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}, name)
}

func cgroupError(dir string, err error) error {
	return fmt.Errorf("prepare cgroup %s: %w; the agent must run as root with a writable %s", dir, err, host.CgroupMount)
}
