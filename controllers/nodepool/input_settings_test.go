package nodepool_test

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// badSettings are those that a kubelet would not start with, or would do harm with.
func badSettings() map[string]mistake {
	return map[string]mistake{
		"sysctl without a dot":    {"it is no parameter's name", sysctl("somaxconn", "1"), "a sysctl is a dotted name"},
		"sysctl that climbs":      {"a name is a path below /proc/sys", sysctl("net/../../../etc/passwd", "x"), "a sysctl is a dotted name"},
		"no forwarding":           {"pods would reach nothing", sysctl("net.ipv4.ip_forward", "0"), "net.ipv4.ip_forward must be 1"},
		"no forwarding, slashes":  {"by its other name neither", sysctl("net/ipv4/ip_forward", "0"), "net.ipv4.ip_forward must be 1"},
		"long sysctl":             {"a name ends somewhere", sysctl("net."+strings.Repeat("a", 125), "1"), "a sysctl is a dotted name"},
		"sysctl without a value":  {"nothing cannot be written", sysctl("net.core.somaxconn", ""), "at least 1 chars long"},
		"sysctl with a long text": {"no parameter takes it", sysctl("net.core.somaxconn", strings.Repeat("1", 257)), "may not be more than 256"},

		"unsafe sysctl of the host":      {"a kubelet does not start that is to allow it", unsafeSysctl("vm.swappiness"), "allowedUnsafeSysctls"},
		"unsafe sysctls, all":            {"neither does one that is to allow any", unsafeSysctl("*"), "allowedUnsafeSysctls"},
		"unsafe sysctls, half the hosts": {"nor one that is to allow the host's", unsafeSysctl("kernel.*"), "allowedUnsafeSysctls"},
		"unsafe sysctl, star inside":     {"a pattern has its star at the end", unsafeSysctl("net.*.conf"), "allowedUnsafeSysctls"},

		"unknown reservation":        {"the kubelet keeps four things", reserve("nvidia.com/gpu", "1"), "only cpu, memory, ephemeral-storage and pid"},
		"negative reservation":       {"a kubelet does not start with it", reserve("memory", "-1Gi"), "from 0 to"},
		"absurd cpu reservation":     {"millicores without their m", reserve("cpu", "1500"), "cpu can be reserved from 0 to 1024"},
		"absurd memory reservation":  {"no machine has it", reserve("memory", "65Ti"), "memory can be reserved from 0 to 64Ti"},
		"absurd storage reservation": {"no machine has it", reserve("ephemeral-storage", "2Pi"), "ephemeral-storage can be reserved from 0 to 1Pi"},
		"absurd pid reservation":     {"no kernel has it", reserve("pid", "4194305"), "pid can be reserved from 0 to 4194304"},
		"negative system reservation": {"it is bounded as the other is", func(p *v1alpha1.NodePool) {
			p.Spec.Template.Spec.Kubelet.SystemReserved = map[corev1.ResourceName]resource.Quantity{"cpu": resource.MustParse("-100m")}
		}, "from 0 to"},
		"unknown system reservation": {"it is of the same four", func(p *v1alpha1.NodePool) {
			p.Spec.Template.Spec.Kubelet.SystemReserved = map[corev1.ResourceName]resource.Quantity{"hugepages-2Mi": resource.MustParse("1")}
		}, "only cpu, memory, ephemeral-storage and pid"},

		"unknown signal":      {"the kubelet has eight", evict("memory.free", "1Gi"), "not an eviction signal"},
		"threshold of a word": {"it is a quantity", evict("memory.available", "little"), "should match"},
		"negative threshold":  {"a kubelet does not start with it", evict("memory.available", "-1Gi"), "should match"},
		"threshold of zero":   {"a kubelet does not start with it", evict("memory.available", "0"), "a quantity above 0"},
		"threshold of nought": {"a kubelet does not start with it", evict("memory.available", "0.0Gi"), "a quantity above 0"},
		"more than all":       {"a kubelet does not start with it", evict("nodefs.available", "101%"), "from 0% to 100%"},

		"mirror with a password": {"every node of the cluster would read it", mirror("https://puller:secret@mirror.example.com/v2"), "no user name or password"},
		"mirror with a token":    {"a user name alone may be a secret", mirror("https://token@mirror.example.com"), "no user name or password"},

		"an agent by its tag":     {"another program may have it tomorrow", withAgent(&v1alpha1.AgentRelease{Version: "v0.2.0", Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "r.example/drover/agent:v0.2.0-and-a-name-that-is-long-enough-to-have-a-digest"}}}), "should match"},
		"an agent without images": {"there is nothing to fetch", withAgent(&v1alpha1.AgentRelease{Version: "v0.2.0"}), "artifacts"},
		"an agent of one architecture twice": {"which of them is it", withAgent(&v1alpha1.AgentRelease{Version: "v0.2.0", Artifacts: []v1alpha1.Artifact{
			agentRelease("v0.2.0", "1").Artifacts[0], agentRelease("v0.2.0", "2").Artifacts[0],
		}}), "Duplicate value"},

		"negative log":      {"a kubelet would stop rotating logs", logSize("-1"), "from 4Ki to 100Gi"},
		"tiny log":          {"a log would be rotated at each line", logSize("1"), "from 4Ki to 100Gi"},
		"absurd log":        {"a log would fill any disk first", logSize("1Ti"), "from 4Ki to 100Gi"},
		"a fraction of one": {"a kubelet does not start with half a byte", logSize("10240500m"), "in whole bytes"},
	}
}

func sysctl(name, value string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Template.Spec.Sysctls = map[string]v1alpha1.SysctlValue{name: v1alpha1.SysctlValue(value)}
	}
}

func unsafeSysctl(pattern string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Kubelet.AllowedUnsafeSysctls = []string{pattern} }
}

func reserve(name corev1.ResourceName, quantity string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Template.Spec.Kubelet.KubeReserved = map[corev1.ResourceName]resource.Quantity{name: resource.MustParse(quantity)}
	}
}

func evict(signal string, threshold v1alpha1.EvictionThreshold) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Template.Spec.Kubelet.EvictionHard = map[string]v1alpha1.EvictionThreshold{signal: threshold}
	}
}

func mirror(endpoint string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Template.Spec.Runtime.RegistryMirrors = []v1alpha1.RegistryMirror{{Registry: "docker.io", Endpoints: []string{endpoint}}}
	}
}

func logSize(quantity string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Template.Spec.Kubelet.ContainerLogMaxSize = ptr.To(resource.MustParse(quantity))
	}
}
