package kernel

import (
	"testing"

	"github.com/drover-dev/drover/agent/host"
)

func TestCgroupsOfV1AreMadeInEveryController(t *testing.T) {
	k := machine(t, with(v1("/drover/m1/system"), map[string]string{
		"sys/fs/cgroup/cpuset/cpuset.cpus": "0-3\n", "sys/fs/cgroup/cpuset/cpuset.mems": "0\n",
		"sys/fs/cgroup/cpuset/drover/cpuset.cpus": "0-1\n",
	}))
	if err := k.PrepareCgroups(host.Facts{CgroupVersion: 1, CgroupRoot: "/drover/m1"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"cpu", "cpuset", "memory"} {
		if !k.Host.Exists("/sys/fs/cgroup/" + c + "/drover/m1") {
			t.Errorf("%s has no cgroup of the machine", c)
		}
	}
	if cpus, mems := k.Host.Text("/sys/fs/cgroup/cpuset/drover/m1/cpuset.cpus"), k.Host.Text("/sys/fs/cgroup/cpuset/drover/m1/cpuset.mems"); cpus != "0-1" || mems != "0" {
		t.Errorf("cpus %q, mems %q: want the parent's, which were set already for cpus", cpus, mems)
	}
}

func TestCgroupsOfV2PassControllersDown(t *testing.T) {
	k := machine(t, map[string]string{
		"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids rdma\n", "sys/fs/cgroup/cgroup.subtree_control": "cpu memory\n",
		"sys/fs/cgroup/drover/cgroup.controllers": "cpu memory pids\n",
	})
	if err := k.PrepareCgroups(host.Facts{CgroupVersion: 2, CgroupRoot: "/drover/m1"}); err != nil {
		t.Fatal(err)
	}
	if got := k.Host.Text("/sys/fs/cgroup/cgroup.subtree_control"); got != "+cpuset +io +pids" {
		t.Errorf("asked the root for %q", got)
	}
	if got := k.Host.Text("/sys/fs/cgroup/drover/cgroup.subtree_control"); got != "+cpu +memory +pids" {
		t.Errorf("asked /drover for %q", got)
	}
	if !k.Host.Exists("/sys/fs/cgroup/drover/m1") {
		t.Error("the machine's cgroup was not made")
	}
}

func TestTheComponentsCgroupIsMadeWithAccounting(t *testing.T) {
	const dir = "/sys/fs/cgroup/drover.slice/drover-node.service"
	k := machine(t, map[string]string{dir[1:] + "/cgroup.controllers": "cpu io memory pids\n", dir[1:] + "/cgroup.subtree_control": ""})
	if err := k.PrepareCgroups(host.Facts{CgroupVersion: 2, CgroupRoot: "/", ComponentCgroup: "/drover.slice/drover-node.service"}); err != nil {
		t.Fatal(err)
	}
	if got := k.Host.Text(dir + "/cgroup.subtree_control"); got != "+cpu +io +memory +pids" {
		t.Errorf("%q is passed down", got)
	}
}
