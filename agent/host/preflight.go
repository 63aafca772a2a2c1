package host

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// minKernel has pidfds that can be waited for without a thread each (PIDFD_NONBLOCK), and everything that the kubelet
	// and containerd ask for.
	minKernel = "5.10"
	// minKernelNFTables is kube-proxy's own minimum for its nftables mode.
	minKernelNFTables = "5.13"
	// minInotifyInstances is enough for a full node; 128, the kernel's default, runs out at about 60 pods that watch files.
	minInotifyInstances = 512
	minDiskBytes        = 1 << 30
	wantDiskBytes       = 5 << 30
	minMemoryBytes      = 400 << 20
)

// Preflight says what the machine lacks for the node wanted, the worst first. It changes nothing.
func Preflight(f Facts, nodeName string, spec *v1alpha1.NodeAgentSpec, now time.Time) []v1alpha1.Finding {
	var found []v1alpha1.Finding
	for _, check := range []func(Facts, *v1alpha1.NodeAgentSpec) []v1alpha1.Finding{
		checkCgroups, checkKernel, checkNetfilter, checkSwap, checkLimits, checkStateDir, checkSize, checkTools, checkSELinux, checkFirewall,
	} {
		found = append(found, check(f, spec)...)
	}
	found = append(found, checkClock(spec.Cluster.ServerCA, now)...)
	if f.Hostname != nodeName {
		found = append(found, finding.Info(finding.HostnameMismatch, "the machine calls itself %q and the Node is %q: nothing to do, the Node's name is used everywhere", f.Hostname, nodeName))
	}
	finding.Sort(found)
	return found
}

func checkCgroups(f Facts, _ *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	var found []v1alpha1.Finding
	if f.CgroupVersion == 1 {
		found = append(found, finding.Info(finding.CgroupV1, "the machine has cgroup v1, which Kubernetes maintains but no longer develops: the kubelet is told to accept it; boot with systemd.unified_cgroup_hierarchy=1 to get memory QoS and swap control"))
	}
	var missing []string
	for _, name := range neededControllers(f.CgroupVersion) {
		if !slices.Contains(f.Controllers, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		found = append(found, finding.Error(finding.CgroupControllerMissing, "the cgroup controllers %s are missing: enable them on the kernel's command line (cgroup_enable=%s) or mount them under %s", strings.Join(missing, ", "), missing[0], CgroupMount))
	}
	return found
}

func checkKernel(f Facts, spec *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	var found []v1alpha1.Finding
	switch {
	case older(f.KernelRelease, minKernel):
		found = append(found, finding.Error(finding.KernelTooOld, "kernel %s is older than %s: install a newer kernel", f.KernelRelease, minKernel))
	case spec.Proxy.Mode == v1alpha1.ProxyModeNFTables && older(f.KernelRelease, minKernelNFTables):
		found = append(found, finding.Error(finding.KernelTooOld, "kernel %s is older than %s, which kube-proxy's nftables mode needs: install a newer kernel or set the pool's proxy.mode to iptables", f.KernelRelease, minKernelNFTables))
	}
	if !f.Overlayfs {
		found = append(found, finding.Error(finding.Overlayfs, "the kernel has no overlay filesystem, which containers' root filesystems are: load the module (modprobe overlay)"))
	}
	return found
}

// older compares the numbers before the first character that belongs to no version; an unreadable release is not old.
func older(release, minimum string) bool {
	end := strings.IndexFunc(release, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(release)
	}
	have, err := version.ParseGeneric(strings.TrimRight(release[:end], "."))
	return err == nil && have.LessThan(version.MustParseGeneric(minimum))
}

func checkNetfilter(f Facts, spec *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	var found []v1alpha1.Finding
	if f.NFTables != "" && (spec.Proxy.Mode == v1alpha1.ProxyModeNFTables || spec.Network.Mode != v1alpha1.NetworkModeExternal) {
		found = append(found, finding.Error(finding.NFTables, "nftables cannot be used (%s): load the module (modprobe nf_tables) and give the agent CAP_NET_ADMIN", f.NFTables))
	}
	if !f.BridgeNetfilter && spec.Network.Mode != v1alpha1.NetworkModeExternal {
		found = append(found, finding.Warning(finding.BridgeNetfilter, "bridged packets pass the packet filter by: a pod cannot reach a Service whose pod is on the same node; load the module (modprobe br_netfilter)"))
	}
	if !ptr.Deref(f.ConntrackWritable, true) && spec.Proxy.Mode != v1alpha1.ProxyModeNone {
		found = append(found, finding.Info(finding.ConntrackReadOnly, "nf_conntrack_max cannot be written here: kube-proxy leaves it as it is"))
	}
	return found
}

func checkSwap(f Facts, spec *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	switch {
	case !f.Swap:
		return nil
	case spec.Kubelet.FailSwapOn != nil && *spec.Kubelet.FailSwapOn:
		return []v1alpha1.Finding{finding.Error(finding.Swap, "swap is on and the pool's kubelet.failSwapOn forbids it: turn it off (swapoff -a) or drop failSwapOn")}
	default:
		return []v1alpha1.Finding{finding.Info(finding.Swap, "swap is on: pods get none, the rest of the machine may use it")}
	}
}

func checkLimits(f Facts, _ *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	var found []v1alpha1.Finding
	if !f.CanRaiseOOMScore {
		found = append(found, finding.Info(finding.NoOOMScoreAdjust, "the agent lacks CAP_SYS_RESOURCE: containers' OOM scores are restricted to the agent's own"))
	}
	if f.InotifyInstances > 0 && f.InotifyInstances < minInotifyInstances {
		found = append(found, finding.Warning(finding.InotifyInstances, "fs.inotify.max_user_instances is %d: pods that watch files may fail with \"too many open files\"; set it to %d or more on the host", f.InotifyInstances, minInotifyInstances))
	}
	return found
}

func checkSize(f Facts, _ *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	var found []v1alpha1.Finding
	switch free := f.StateDiskFreeBytes; {
	case free < minDiskBytes:
		found = append(found, finding.Error(finding.DiskSpace, "%d MiB are free for %s and %d are needed: make room", free>>20, node.StateDir, minDiskBytes>>20))
	case free < wantDiskBytes:
		found = append(found, finding.Warning(finding.DiskSpace, "%d MiB are free for %s: images may not fit; make room", free>>20, node.StateDir))
	}
	if f.MemoryBytes < minMemoryBytes {
		found = append(found, finding.Error(finding.Memory, "the machine has %d MiB of memory and a node needs %d: give it more", f.MemoryBytes>>20, minMemoryBytes>>20))
	}
	return found
}

// checkTools looks at the programs that this template's components run.
// checkStateDir looks at how the filesystem is mounted that the node's programs are to run from.
func checkStateDir(f Facts, _ *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	switch f.StateMount {
	case mountNoExec:
		return []v1alpha1.Finding{finding.Error(finding.StateMount, "the filesystem of %s is mounted noexec, and the node's programs run from there: take noexec off its line in /etc/fstab and remount it (mount -o remount,exec), or mount a filesystem of its own on %[1]s", node.StateDir)}
	case mountReadOnly:
		return []v1alpha1.Finding{finding.Error(finding.StateMount, "the filesystem of %s is mounted read-only: remount it (mount -o remount,rw), or mount a filesystem of its own on %[1]s", node.StateDir)}
	}
	return nil
}

func checkSELinux(f Facts, _ *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	if f.SELinux != node.SELinuxEnforcing {
		return nil
	}
	return []v1alpha1.Finding{finding.Error(finding.SELinux, "SELinux is enforcing, and Drover has no policy for it: make it permissive (setenforce 0, and SELINUX=permissive in /etc/selinux/config)")}
}

// checkFirewall names the chains that pods' packets do not get through. What a network of the user's own needs is not known.
func checkFirewall(f Facts, spec *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	var certain, possible []string
	for _, d := range f.ForwardDrops {
		if d.Certain && spec.Network.Mode != v1alpha1.NetworkModeExternal {
			certain = append(certain, d.Chain)
		} else {
			possible = append(possible, d.Chain)
		}
	}
	switch {
	case len(certain) > 0:
		return []v1alpha1.Finding{finding.Error(finding.Firewall, "the machine's firewall drops what it forwards, and pods' packets with it (%s): let it accept what comes in or goes out by the link %s, or turn it off", strings.Join(certain, ", "), podBridge)}
	case len(possible) > 0:
		return []v1alpha1.Finding{finding.Warning(finding.Firewall, "the machine's firewall drops what it forwards unless a rule accepts it (%s): see that one accepts what comes in or goes out by the link %s, or pods cannot reach anything", strings.Join(possible, ", "), podBridge)}
	case f.UnreadFirewall != "" && f.NFTables == "": // or that is why
		return []v1alpha1.Finding{finding.Warning(finding.Firewall, "the rules of the machine's firewall could not be read (%s): see that it lets through what comes in or goes out by the link %s, or pods cannot reach anything", f.UnreadFirewall, podBridge)}
	}
	return nil
}

func checkTools(f Facts, spec *v1alpha1.NodeAgentSpec) []v1alpha1.Finding {
	needed := map[string]bool{
		"mount": true, "umount": true,
		"nft":      spec.Proxy.Mode == v1alpha1.ProxyModeNFTables || spec.Network.Mode != v1alpha1.NetworkModeExternal,
		"iptables": spec.Proxy.Mode == v1alpha1.ProxyModeIPTables,
	}
	var missing []string
	for _, tool := range f.MissingTools {
		if needed[tool] {
			missing = append(missing, tool)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return []v1alpha1.Finding{finding.Error(finding.ToolMissing, "the machine lacks %s, which the node's components run: install the packages that have them (nftables, iptables, mount)", strings.Join(missing, ", "))}
}

// checkClock compares the clock with the only moment known before anything was asked of the network: the CA's making.
func checkClock(serverCA string, now time.Time) []v1alpha1.Finding {
	block, _ := pem.Decode([]byte(serverCA))
	if block == nil {
		return nil
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !now.Before(ca.NotBefore) {
		return nil
	}
	return []v1alpha1.Finding{finding.Error(finding.Clock, "the clock says %s, which is before the cluster's CA was made (%s): set the clock and run a time service", now.UTC().Format(time.RFC3339), ca.NotBefore.UTC().Format(time.RFC3339))}
}
