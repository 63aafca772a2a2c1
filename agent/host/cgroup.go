package host

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
)

// CgroupMount is where the hierarchies of cgroups are.
const CgroupMount = "/sys/fs/cgroup"

const (
	// agentCgroup is the last element of the cgroup the agent is in on a machine that shares its host.
	agentCgroup = "system"
	// agentUnitCgroup is that of the agent's unit where `drover-agent install` made it, and componentCgroup that of the unit
	// beside it for the components. That one has no process of its own, so systemd removes its cgroup until one is there.
	agentUnitCgroup = "/drover.slice/drover-agent.service"
	componentCgroup = "/drover.slice/drover-node.service"
)

// gatherCgroups finds the version, the driver, the controllers and the cgroup that pods go under.
func (s *System) gatherCgroups(f *Facts) error {
	f.CgroupDriver = CgroupDriverCgroupfs
	switch {
	case s.Exists(CgroupMount + "/cgroup.controllers"):
		f.CgroupVersion = 2
		f.Controllers = strings.Fields(s.Text(CgroupMount + "/cgroup.controllers"))
	case s.Exists(CgroupMount + "/memory"), s.Exists(CgroupMount + "/cpu"), s.Exists(CgroupMount + "/cpu,cpuacct"):
		f.CgroupVersion = 1
		f.Controllers = s.v1Controllers()
	default:
		return errors.New("no cgroups under " + CgroupMount + ": mount cgroup2 there (mount -t cgroup2 none " + CgroupMount + ")")
	}
	slices.Sort(f.Controllers)
	own := s.ownCgroup(f.CgroupVersion)
	f.SharesHost, f.CgroupRoot = sharesHost(own), podRoot(own)
	if f.HasSystemd && !f.SharesHost {
		f.CgroupDriver = CgroupDriverSystemd
	}
	if f.CgroupVersion == 2 && own == agentUnitCgroup {
		f.ComponentCgroup = componentCgroup
	}
	return nil
}

// CgroupRoot is the cgroup that pods go under, "/" where there are no cgroups; see Facts.
func (s *System) CgroupRoot() string {
	f := Facts{CgroupRoot: "/"}
	if err := s.gatherCgroups(&f); err != nil {
		return "/"
	}
	return f.CgroupRoot
}

// sharesHost is true for an agent in the cgroup "system" of a machine that is a part of its host. An agent that is
// anywhere else has the machine to itself.
func sharesHost(own string) bool { return path.Base(own) == agentCgroup }

// podRoot derives the cgroup of pods from the agent's own: "/drover/<machine>/system" gives "/drover/<machine>", and in
// a cgroup namespace of the machine's, as on version 2, "/system" gives "/".
func podRoot(own string) string {
	if sharesHost(own) {
		return path.Dir(own)
	}
	return "/"
}

// ownCgroup is the agent's cgroup: on version 1 in the memory controller's hierarchy, see cgroups(7).
func (s *System) ownCgroup(version int) string {
	for _, line := range s.lines(s.own("cgroup")) {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		if version == 2 && parts[0] == "0" || version == 1 && slices.Contains(strings.Split(parts[1], ","), "memory") {
			return parts[2]
		}
	}
	return "/"
}

// v1Controllers are the controllers mounted on version 1, each under its own name.
func (s *System) v1Controllers() []string {
	var names []string
	for _, m := range s.CgroupV1Mounts() {
		for name := range strings.SplitSeq(path.Base(m), ",") {
			if name != "systemd" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// CgroupV1Mounts are the mount points of version 1 hierarchies.
func (s *System) CgroupV1Mounts() []string {
	var mounts []string
	for _, line := range s.lines("/proc/self/mountinfo") {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 5 || !strings.HasPrefix(after, "cgroup ") {
			continue
		}
		if strings.HasPrefix(fields[4], CgroupMount+"/") && !slices.Contains(mounts, fields[4]) {
			mounts = append(mounts, fields[4])
		}
	}
	return mounts
}

// memoryLimit is the limit of the machine's cgroup in bytes, 0 for none.
func (s *System) memoryLimit(f *Facts) int64 {
	file := path.Join(CgroupMount, f.CgroupRoot, "memory.max")
	if f.CgroupVersion == 1 {
		file = path.Join(CgroupMount, "memory", f.CgroupRoot, "memory.limit_in_bytes")
	}
	return s.Integer(file)
}

// cpuLimit is the quota of the machine's cgroup in whole processors, rounded up, 0 for none. On version 1 it is on the
// cgroup the agent is in: there a quota on the machine's own would refuse containers whose limit is above it.
func (s *System) cpuLimit(f *Facts) int {
	var quota, period int64
	if f.CgroupVersion == 1 {
		dir := path.Join(CgroupMount, "cpu", s.ownCgroup(f.CgroupVersion))
		quota, period = s.Integer(dir+"/cpu.cfs_quota_us"), s.Integer(dir+"/cpu.cfs_period_us")
	} else if fields := strings.Fields(s.Text(path.Join(CgroupMount, f.CgroupRoot, "cpu.max"))); len(fields) == 2 {
		quota, _ = strconv.ParseInt(fields[0], 10, 64)
		period, _ = strconv.ParseInt(fields[1], 10, 64)
	}
	if quota <= 0 || period <= 0 {
		return 0
	}
	return int((quota + period - 1) / period)
}

// neededControllers are those without which the kubelet or runc does not work, by cgroup version.
func neededControllers(version int) []string {
	if version == 1 {
		return []string{"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"}
	}
	return []string{"cpu", "cpuset", "memory", "pids"}
}
