package disruption

import (
	"slices"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// ComponentAgent is the node's agent itself, among the components that a change restarts.
const ComponentAgent = "agent"

// Row is what is known of one field, and of those below it.
type Row struct {
	// Field is its path: of a NodeAgent's spec, or, for what only a pool's template has, below template.
	Field string
	// Class is the worst that a change of it can come to.
	Class Class
	// Components are those that restart.
	Components []string
	// Message says what happens, and why.
	Message string
}

var (
	kubelet   = []string{v1alpha1.ComponentKubelet}
	kubeProxy = []string{v1alpha1.ComponentKubeProxy}
	both      = []string{v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy}
	all       = []string{v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy}
)

const (
	kubeletReads = "the kubelet reads it when it starts"
	mirrorsRead  = "containerd reads its mirrors for each pull"
	otherBundle  = "of another bundle, the components restart whose programs are other ones"
	patchedLive  = "the manager writes it onto the Nodes there are"
)

// table has a row for each field of a node's desired state, and for what only a pool's template has.
var table = []Row{
	{"revision", None, nil, "it is a name"},
	{"version", Drain, both, "another minor version is for a drained node; another patch version restarts the kubelet and kube-proxy, and pods stay"},
	{"artifacts", Restart, all, otherBundle},
	{ComponentAgent, Restart, []string{ComponentAgent}, "the agent is replaced by another one, which adopts the components as they run; one restarts only where it configures it otherwise"},
	{"repair", None, nil, "it is a request to the agent about a node that is unhealthy, and no part of what runs there"},

	// Facts of the cluster.
	{"cluster.server", Restart, both, "the kubelet and kube-proxy connect to it when they start, and do so once it has answered the agent"},
	{"cluster.serverCA", Restart, kubelet, kubeletReads + ", and does so once the API server has answered by it"},
	{"cluster.clientCA", None, nil, "the kubelet reads the file again when it changes"},
	{"cluster.dnsServers", Restart, kubelet, kubeletReads + ", and pods made from then on get it"},
	{"cluster.dnsDomain", Restart, kubelet, kubeletReads + ", and pods made from then on get it"},
	{"cluster.serviceCIDRs", None, nil, "the agent keeps it from the ranges of Nodes"},
	{"cluster.podCIDRs", Restart, kubeProxy, "kube-proxy reads it when it starts, and the agent masquerades by it"},

	{"kubelet.maxPods", Restart, kubelet, kubeletReads},
	{"kubelet.systemReserved", Restart, kubelet, kubeletReads},
	{"kubelet.kubeReserved", Restart, kubelet, kubeletReads},
	{"kubelet.evictionHard", Restart, kubelet, kubeletReads},
	{"kubelet.failSwapOn", Restart, kubelet, kubeletReads},
	{"kubelet.swapBehavior", Restart, kubelet, kubeletReads},
	{"kubelet.containerLogMaxSize", Restart, kubelet, kubeletReads},
	{"kubelet.containerLogMaxFiles", Restart, kubelet, kubeletReads},
	{"kubelet.shutdownGracePeriodSeconds", Restart, kubelet, kubeletReads + ", on a machine with systemd"},
	{"kubelet.allowedUnsafeSysctls", Restart, kubelet, kubeletReads},

	{"runtime.registryMirrors", None, nil, mirrorsRead},

	{"proxy.mode", Restart, kubeProxy, "kube-proxy writes the rules of Services anew in the other way, or stops"},

	{"network.mode", Drain, kubelet, "pods keep the network they were made in, which another mode does not serve"},
	{"network.nodeCIDRs", Restart, kubelet, "where it chooses another address for the node, the kubelet starts with that"},
	{"network.mtu", None, nil, "pods made from then on get it"},

	{"sysctls", None, nil, "the agent writes them to the kernel"},

	{"drift", None, nil, "the agent goes by it"},

	// What only a pool's template has.
	{"template.metadata.labels", None, nil, patchedLive},
	{"template.spec.taints", None, nil, patchedLive},
	{"template.spec.bundle", Restart, all, otherBundle},
	{"template.spec.infrastructureRef", Replace, nil, "the machine is made from it"},
}

// Table is every row, in the order of the API.
func Table() []Row { return slices.Clone(table) }

// Of is the row of a field: its own, or that of a field which it is part of.
func Of(field string) (Row, bool) {
	for _, r := range table {
		if rest, found := strings.CutPrefix(field, r.Field); found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return r, true
		}
	}
	return Row{}, false
}
