package kernel

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestSysctls(t *testing.T) {
	k := machine(t, with(common, map[string]string{"proc/sys/net/core/somaxconn": "4096\n", "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n"}))
	found := k.ApplySysctls(map[string]v1alpha1.SysctlValue{
		"net.core.somaxconn": "8192", "net.ipv4.ip_local_port_range": "32768 60999", "vm.no_such": "1",
	}, false)
	if len(found) != 1 || found[0].Severity != v1alpha1.FindingWarning || !strings.Contains(found[0].Message, "vm.no_such=1 (no such file or directory)") {
		t.Errorf("got %v: want a warning that names the one that does not exist", found)
	}
	if got := k.Host.Text("/proc/sys/net/ipv4/ip_forward"); got != "1" {
		t.Errorf("ip_forward is %s", got)
	}
	if got := k.Host.Text("/proc/sys/net/core/somaxconn"); got != "8192" {
		t.Errorf("somaxconn is %s", got)
	}
	if got := k.Host.Text("/proc/sys/net/ipv4/ip_local_port_range"); got != "32768\t60999" {
		t.Errorf("%q: one that has its value already must not be written", got)
	}
}

func TestSysctlsOfASharedKernelAreTheHosts(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"kernel/core_pattern", "kernel/msgmax", "kernel/sem", "kernel/semantics", "fs/mqueue/msg_max", "fs/file-max", "net/core/somaxconn", "vm/swappiness"} {
		files["proc/sys/"+name] = "1\n"
	}
	k := machine(t, with(common, files))
	found := k.ApplySysctls(map[string]v1alpha1.SysctlValue{
		"kernel.core_pattern": "|/bin/sh", "kernel.semantics": "2", "fs.file-max": "2", "vm.swappiness": "2",
		"kernel.msgmax": "2", "kernel.sem": "2", "fs.mqueue.msg_max": "2", "net.core.somaxconn": "2",
	}, true)
	if len(found) != 1 || found[0].Severity != v1alpha1.FindingWarning || !strings.Contains(found[0].Message, "kernel.core_pattern=|/bin/sh (it is the kernel's") {
		t.Errorf("got %v: want a warning that names what is the host's", found)
	}
	for name := range files {
		own := map[string]bool{"proc/sys/kernel/msgmax": true, "proc/sys/kernel/sem": true, "proc/sys/fs/mqueue/msg_max": true, "proc/sys/net/core/somaxconn": true}
		if got := k.Host.Text("/" + name); (got == "2") != own[name] {
			t.Errorf("%s is %s; that it is the machine's own is %t", name, got, own[name])
		}
	}
}

func TestManyRefusedSysctlsAreAFindingThatTheAPITakes(t *testing.T) {
	for name, value := range map[string]v1alpha1.SysctlValue{"short": "1", "long": v1alpha1.SysctlValue(strings.Repeat("é", 512))} {
		user := map[string]v1alpha1.SysctlValue{}
		for i := range 64 {
			user[fmt.Sprintf("kernel.no_such_parameter_of_ours_%02d", i)] = value
		}
		for _, shared := range []bool{true, false} {
			found := machine(t, common).ApplySysctls(user, shared)
			if len(found) != 1 || len(found[0].Message) > 1024 || !utf8.ValidString(found[0].Message) || !strings.Contains(found[0].Message, "_00=") {
				t.Errorf("%s: got %v, want a message of at most 1024 bytes", name, found)
			}
		}
	}
	if found := machine(t, common).ApplySysctls(map[string]v1alpha1.SysctlValue{"vm.a": "1", "vm.b": "2"}, true); !strings.Contains(found[0].Message, "set it on the host") {
		t.Errorf("got %v, want what to do", found)
	}
}

func TestInotifyLimitsAreRaisedOnAMachineOfItsOwn(t *testing.T) {
	const instances, watches = "/proc/sys/fs/inotify/max_user_instances", "/proc/sys/fs/inotify/max_user_watches"
	stock := with(common, map[string]string{"proc" + instances[5:]: "128\n", "proc" + watches[5:]: "1000000\n"})
	for _, c := range []struct {
		reason string
		user   map[string]v1alpha1.SysctlValue
		shared bool
		want   string
	}{
		{reason: "128 run out at 60 pods", want: "8192"},
		{reason: "the pool's word wins", user: map[string]v1alpha1.SysctlValue{"fs.inotify.max_user_instances": "600"}, want: "600"},
		{reason: "the host's are the host's", shared: true, want: "128"},
	} {
		k := machine(t, stock)
		if found := k.ApplySysctls(c.user, c.shared); len(found) > 0 {
			t.Errorf("%s: %v", c.reason, found)
		}
		if got := k.Host.Text(instances); got != c.want || k.Host.Text(watches) != "1000000" {
			t.Errorf("%s: %s instances and %s watches, want %s and what was more already", c.reason, got, k.Host.Text(watches), c.want)
		}
	}
}

func TestSysctlNames(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":              "/proc/sys/net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/100.rp_filter": "/proc/sys/net/ipv4/conf/eth0.100/rp_filter",
		"net/ipv4/conf/eth0.100/rp_filter": "/proc/sys/net/ipv4/conf/eth0.100/rp_filter",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
