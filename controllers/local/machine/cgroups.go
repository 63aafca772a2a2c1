package machine

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/drover-dev/drover/api/node"
)

const (
	// cpuPeriod is the kernel's default period of processor quotas, in microseconds.
	cpuPeriod = 100_000
	// cpuShares are what the kernel and the kubelet give for one processor on version 1.
	cpuShares = 1024
)

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
		dirs := []CgroupDir{{Path: parent}, {Path: machine, Set: renderLimits(h, in.limits)}, {Path: system, Set: renderSystemLimits(h, in.limits)}}
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

// renderLimits are those of the whole machine. Version 1 refuses a quota below another that is smaller, and so would
// every container whose limit exceeds the machine's size, which Kubernetes allows: there a machine has shares instead,
// which count when processors are short.
func renderLimits(h Hierarchy, limits Limits) []CgroupSetting {
	var set []CgroupSetting
	if limits.CPUs > 0 && h.has("cpu") {
		if h.Unified {
			set = append(set, CgroupSetting{"cpu.max", fmt.Sprintf("%d %d", limits.quota(), cpuPeriod)})
		} else {
			set = append(set, CgroupSetting{"cpu.shares", fmt.Sprint(int64(limits.CPUs) * cpuShares)})
		}
	}
	if limits.MemoryBytes > 0 && h.has("memory") {
		file := "memory.limit_in_bytes"
		if h.Unified {
			file = "memory.max"
		}
		set = append(set, CgroupSetting{file, fmt.Sprint(limits.MemoryBytes)})
	}
	return set
}

// renderSystemLimits are those of the machine's own processes. On version 1 they hold the quota, which tells the
// agent how many processors the machine has.
func renderSystemLimits(h Hierarchy, limits Limits) []CgroupSetting {
	if h.Unified || limits.CPUs == 0 || !h.has("cpu") {
		return nil
	}
	return []CgroupSetting{{"cpu.cfs_period_us", fmt.Sprint(cpuPeriod)}, {"cpu.cfs_quota_us", fmt.Sprint(limits.quota())}}
}

// quota is the processor time in each period, in microseconds.
func (l Limits) quota() int64 { return int64(l.CPUs) * cpuPeriod }

func (h Hierarchy) has(controller string) bool { return slices.Contains(h.Controllers, controller) }

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
func renderBootCgroup(in inputs) node.LocalBootCgroup {
	if in.facts.CgroupVersion != 2 {
		return node.LocalBootCgroup{}
	}
	for _, h := range in.facts.Hierarchies {
		if h.Unified {
			machine := filepath.Join(h.Mount, in.cgroupParent, in.layout.name)
			return node.LocalBootCgroup{Namespace: machine, System: filepath.Join(machine, systemCgroup)}
		}
	}
	return node.LocalBootCgroup{}
}
