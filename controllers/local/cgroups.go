package local

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// cpuPeriod is the kernel's default period of processor quotas, in microseconds.
const cpuPeriod = 100_000

// delegated are the controllers a machine's cgroup gets on version 2, where the host has them.
var delegated = []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"}

// renderCgroups are the machine's cgroups: <parent>/<machine>/system in every hierarchy, with the limits on
// <parent>/<machine>, which is the kubelet's cgroup root.
func renderCgroups(in inputs) Cgroups {
	var all Cgroups
	for _, h := range in.facts.Hierarchies {
		if in.facts.CgroupVersion == 2 && !h.Unified {
			continue
		}
		parent := filepath.Join(h.Mount, in.cgroupParent)
		machine := filepath.Join(parent, in.layout.name)
		system := filepath.Join(machine, systemCgroup)
		dirs := []CgroupDir{{Path: parent}, {Path: machine, Set: renderLimits(h, in.limits)}, {Path: system}}
		if slices.Contains(h.Controllers, "cpuset") && !h.Unified {
			for i := range dirs {
				dirs[i].Inherit = []string{"cpuset.cpus", "cpuset.mems"}
			}
		}
		if in.facts.CgroupVersion == 2 {
			dirs[0].Delegate = delegable(h)
			dirs = append([]CgroupDir{{Path: h.Mount, Delegate: delegable(h)}}, dirs...)
		} else {
			all.Join = append(all.Join, system)
		}
		all.Make = append(all.Make, dirs...)
		all.Remove = append(all.Remove, machine)
		all.RemoveIfEmpty = append(all.RemoveIfEmpty, parent)
	}
	return all
}

func renderLimits(h Hierarchy, limits Limits) []CgroupSetting {
	var set []CgroupSetting
	has := func(controller string) bool { return slices.Contains(h.Controllers, controller) }
	if limits.CPUs > 0 && has("cpu") {
		quota := int64(limits.CPUs) * cpuPeriod
		if h.Unified {
			set = append(set, CgroupSetting{"cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod)})
		} else {
			set = append(set, CgroupSetting{"cpu.cfs_period_us", fmt.Sprint(cpuPeriod)}, CgroupSetting{"cpu.cfs_quota_us", fmt.Sprint(quota)})
		}
	}
	if limits.MemoryBytes > 0 && has("memory") {
		file := "memory.limit_in_bytes"
		if h.Unified {
			file = "memory.max"
		}
		set = append(set, CgroupSetting{file, fmt.Sprint(limits.MemoryBytes)})
	}
	return set
}

func delegable(h Hierarchy) []string {
	var found []string
	for _, c := range delegated {
		if slices.Contains(h.Controllers, c) {
			found = append(found, c)
		}
	}
	return found
}

// renderBootCgroup: on version 2 the machine has a cgroup namespace, which its init makes by itself.
func renderBootCgroup(in inputs) v1alpha1.LocalBootCgroup {
	if in.facts.CgroupVersion != 2 {
		return v1alpha1.LocalBootCgroup{}
	}
	for _, h := range in.facts.Hierarchies {
		if h.Unified {
			machine := filepath.Join(h.Mount, in.cgroupParent, in.layout.name)
			return v1alpha1.LocalBootCgroup{Namespace: machine, System: filepath.Join(machine, systemCgroup)}
		}
	}
	return v1alpha1.LocalBootCgroup{}
}
