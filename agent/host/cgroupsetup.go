package host

import (
	"os"
	"path"
	"slices"
	"strings"
)

// PrepareCgroups makes the cgroup that pods go under usable: on version 1 it exists in every controller and its cpuset
// has the processors and memory nodes of its parent; on version 2 every needed controller is passed down to it.
func (s *System) PrepareCgroups(f Facts) error {
	if f.CgroupVersion == 1 {
		return s.prepareV1(f.CgroupRoot)
	}
	if err := s.prepareV2(f.CgroupRoot); err != nil || f.ComponentCgroup == "" {
		return err
	}
	dir := path.Join(cgroupMount, f.ComponentCgroup)
	if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
		return cgroupError(dir, err)
	}
	return s.passDown(dir)
}

func (s *System) prepareV1(root string) error {
	for _, mount := range s.v1Mounts() {
		dir := path.Join(mount, root)
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return cgroupError(dir, err)
		}
		if strings.Contains(path.Base(mount), "cpuset") {
			if err := s.copyCpusets(mount, root); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyCpusets copies processors and memory nodes from the hierarchy's root down; an empty cpuset takes no process.
func (s *System) copyCpusets(mount, root string) error {
	dir := mount
	for part := range strings.SplitSeq(strings.Trim(root, "/"), "/") {
		parent := dir
		dir = path.Join(dir, part)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if dir == parent || s.text(path.Join(dir, file)) != "" {
				continue
			}
			if err := os.WriteFile(s.path(path.Join(dir, file)), []byte(s.text(path.Join(parent, file))), 0o644); err != nil {
				return cgroupError(dir, err)
			}
		}
	}
	return nil
}

func (s *System) prepareV2(root string) error {
	dir := cgroupMount
	parts := strings.Split(strings.Trim(root, "/"), "/")
	for i := -1; i < len(parts); i++ {
		if i >= 0 {
			dir = path.Join(dir, parts[i])
		}
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return cgroupError(dir, err)
		}
		if err := s.passDown(dir); err != nil {
			return err
		}
	}
	return nil
}

// passDown enables the needed controllers for the children of a cgroup, as far as it has them itself.
func (s *System) passDown(dir string) error {
	have := strings.Fields(s.text(dir + "/cgroup.subtree_control"))
	var missing []string
	for _, name := range strings.Fields(s.text(dir + "/cgroup.controllers")) {
		if !slices.Contains(have, name) && wantedOnV2(name) {
			missing = append(missing, "+"+name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := os.WriteFile(s.path(dir+"/cgroup.subtree_control"), []byte(strings.Join(missing, " ")), 0o644); err != nil {
		return cgroupError(dir, err)
	}
	return nil
}

// wantedOnV2 are the controllers that the kubelet turns on for pods where they exist.
func wantedOnV2(name string) bool {
	return slices.Contains([]string{"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}, name)
}
