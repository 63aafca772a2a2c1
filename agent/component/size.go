package component

import (
	"fmt"
	"maps"
	"math"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/finding"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

const (
	mib            = int64(1) << 20
	defaultMaxPods = 110
	// usedPodAddresses are the network's, the bridge's and the broadcast address of a pod range.
	usedPodAddresses = 3
)

// maxPods is what the user set, or else Kubernetes' default, as far as the Node's pod ranges have room. Another network than
// Drover's own may have its pods' addresses from elsewhere: there, what the user set is not ours to judge.
func (c *Config) maxPods() int32 {
	asked, room := c.Spec.Kubelet.MaxPods, int32(math.MaxInt32)
	if tightest := c.tightestRange(); tightest != nil && (asked == nil || c.Spec.Network.Mode != fleetv1.NetworkModeExternal) {
		room = roomFor(*tightest)
	}
	return min(ptr.Deref(asked, defaultMaxPods), room)
}

// tightestRange is the node's pod range with the fewest addresses; nil when none is known. A pod has one of each.
func (c *Config) tightestRange() *netip.Prefix {
	var tightest *netip.Prefix
	for _, cidr := range c.PodCIDRs {
		if prefix, err := netip.ParsePrefix(cidr); err == nil && (tightest == nil || roomFor(prefix) < roomFor(*tightest)) {
			tightest = &prefix
		}
	}
	return tightest
}

// roomFor is how many pods a range has addresses for.
func roomFor(prefix netip.Prefix) int32 {
	free := prefix.Addr().BitLen() - prefix.Bits()
	if free > 16 {
		return math.MaxInt32 // no node runs as many
	}
	return int32(max(1, 1<<free-usedPodAddresses))
}

// findings are where the node gets something else than what the user set.
func (c *Config) findings() []fleetv1.Finding {
	asked, offered := ptr.Deref(c.Spec.Kubelet.MaxPods, 0), c.maxPods()
	if offered >= asked {
		return nil
	}
	return []fleetv1.Finding{finding.Warning(finding.MaxPods,
		"maxPods is %d, and the Node's pod range %s has addresses for %d pods only, so that the kubelet takes no more: set maxPods to that, or have the cluster give new Nodes larger ranges (kube-controller-manager's --node-cidr-mask-size)",
		asked, c.tightestRange(), offered)}
}

// kubeReserved is what the node's own software gets: what the user set, the rest by the machine's size.
func (c *Config) kubeReserved() map[string]string {
	// 255 MiB and 11 MiB a pod is what EKS found for containerd and the kubelet.
	memory := min(255*mib+11*mib*int64(c.maxPods()), c.Facts.MemoryBytes/4)
	return withQuantities(c.Spec.Kubelet.KubeReserved, map[corev1.ResourceName]resource.Quantity{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(reservedMilliCPU(c.Facts.CPUs), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(memory/mib*mib, resource.BinarySI),
	})
}

// reservedMilliCPU is 6 % of the first processor, 1 % of the second, 0.5 % of the next two and 0.25 % of the others,
// as the managed services reserve.
func reservedMilliCPU(cpus int) int64 {
	micro := int64(0) // in 0.1 thousandths of a processor
	for i := range cpus {
		switch {
		case i == 0:
			micro += 600
		case i == 1:
			micro += 100
		case i < 4:
			micro += 50
		default:
			micro += 25
		}
	}
	return (micro + 5) / 10
}

// systemReserved is what the operating system gets. The kubelet takes the whole host for the machine's capacity, so
// what the machine may not use of it is reserved as well: Allocatable is then the machine's.
func (c *Config) systemReserved() map[string]string {
	defaults := map[corev1.ResourceName]resource.Quantity{}
	if !c.Facts.SharesHost {
		defaults[corev1.ResourceCPU] = resource.MustParse("50m")
		defaults[corev1.ResourceMemory] = *resource.NewQuantity(min(256*mib, c.Facts.MemoryBytes/20/mib*mib), resource.BinarySI)
	}
	reserved := maps.Clone(defaults)
	maps.Copy(reserved, c.Spec.Kubelet.SystemReserved)
	if missing := c.Facts.HostMemoryBytes - c.Facts.MemoryBytes; missing > 0 {
		memory := reserved[corev1.ResourceMemory].DeepCopy()
		memory.Add(*resource.NewQuantity(missing, resource.BinarySI))
		reserved[corev1.ResourceMemory] = memory
	}
	if missing := c.Facts.HostCPUs - c.Facts.CPUs; missing > 0 {
		cpu := reserved[corev1.ResourceCPU].DeepCopy()
		cpu.Add(*resource.NewQuantity(int64(missing), resource.DecimalSI))
		reserved[corev1.ResourceCPU] = cpu
	}
	return withQuantities(reserved, nil)
}

// withQuantities is what was set, on top of defaults, as the kubelet's configuration spells it.
func withQuantities(set, defaults map[corev1.ResourceName]resource.Quantity) map[string]string {
	result := map[string]string{}
	for _, quantities := range []map[corev1.ResourceName]resource.Quantity{defaults, set} {
		for name, quantity := range quantities {
			result[string(name)] = quantity.String()
		}
	}
	return result
}

// EvictionThresholds are the signals the kubelet evicts pods at: what the user set, the rest by the machine's size. They
// are absolute, because machines may share one disk.
func (c *Config) EvictionThresholds() map[string]string {
	memory := min(100*mib, c.Facts.MemoryBytes/10)
	disk := 1024 * mib
	if !c.Facts.SharesHost {
		disk = min(max(disk, c.Facts.StateDiskBytes/10), 10*disk)
	}
	room := resource.NewQuantity(disk/mib*mib, resource.BinarySI).String()
	thresholds := map[string]string{
		"memory.available":  resource.NewQuantity(memory/mib*mib, resource.BinarySI).String(),
		"nodefs.available":  room,
		"nodefs.inodesFree": "5%",
		"imagefs.available": room,
	}
	for signal, threshold := range c.Spec.Kubelet.EvictionHard {
		thresholds[signal] = string(threshold)
	}
	return thresholds
}

// containerLogs is how large a container's log grows and how many are kept.
func (c *Config) containerLogs() (size string, files int32) {
	size = "10Mi"
	if limit := c.Spec.Kubelet.ContainerLogMaxSize; limit != nil {
		size = limit.String()
	}
	return size, ptr.Deref(c.Spec.Kubelet.ContainerLogMaxFiles, 5)
}

// nodeIP is the node's address as a flag's value.
func (c *Config) nodeIP() (string, error) {
	if !c.Facts.NodeIP.IsValid() {
		return "", fmt.Errorf("the machine has no address that reaches %s", c.Spec.Cluster.Server)
	}
	return c.Facts.NodeIP.String(), nil
}
