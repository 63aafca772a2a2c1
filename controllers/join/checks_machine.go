package join

import (
	"fmt"
	"net/netip"
	"slices"

	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
)

// subjectAltNameOID is the one extension that a server's request may have.
const subjectAltNameOID = "2.5.29.17"

func tokenExists(f *facts) *verdict {
	switch {
	case f.token == nil:
		return refuse("spec.username", f.csr.Spec.Username+" is no token any more: a machine joins once, with its own")
	case f.token.Type != bootstrapapi.SecretTypeBootstrapToken || f.token.Labels[v1alpha1.MachineUIDLabel] == "":
		return refuse("spec.username", f.csr.Spec.Username+" is a token that Drover did not make")
	}
	return nil
}

func machineExists(f *facts) *verdict {
	if f.machine == nil {
		return refuse("spec.request subject.commonName", fmt.Sprintf("names node %q, which no Machine of ours stands for", f.nodeName()))
	}
	return nil
}

func tokenIsTheMachines(f *facts) *verdict {
	if f.token.Labels[v1alpha1.MachineUIDLabel] != string(f.machine.UID) || tokenMachine(f.token).Name != f.nodeName() {
		return refuse("spec.request subject.commonName", fmt.Sprintf("names node %q, but the token is that of Machine %s", f.nodeName(), tokenMachine(f.token)))
	}
	return nil
}

func machineIsThePools(f *facts) *verdict {
	if err := BelongsTo(f.machine, f.pool); err != nil {
		return refuse("Machine "+f.machine.Namespace+"/"+f.machine.Name, err.Error())
	}
	return nil
}

func machineIsOurs(f *facts) *verdict {
	if err := f.belongs(); err != nil {
		return refuse("Machine "+f.machine.Namespace+"/"+f.machine.Name, err.Error())
	}
	return nil
}

// belongs says in an error why the Machine is not the one that the node's identity was given to. Whoever may make
// Machines in some namespace can make one of any name; the NodeAgent, which nobody but the manager writes, has the UID
// of the right one. Before there is a NodeAgent, the pool and the name have to tell.
func (f *facts) belongs() error {
	switch {
	case f.agent == nil:
		return BelongsTo(f.machine, f.pool)
	case f.agent.Labels[v1alpha1.MachineUIDLabel] != string(f.machine.UID):
		return fmt.Errorf("is not the one that NodeAgent %s was made for", f.agent.Name)
	}
	return nil
}

func machineStays(f *facts) *verdict {
	if !f.machine.DeletionTimestamp.IsZero() {
		return refuse("Machine "+f.machine.Namespace+"/"+f.machine.Name, "is being deleted")
	}
	return nil
}

// tokenIsFresh: a token is good for one key. The same key may come again, from an agent that died before it saw the
// certificate; another key after the first is somebody else's, or a machine that lost its disk, which is replaced.
func tokenIsFresh(f *facts) *verdict {
	switch {
	case slices.Contains(f.approvedKeys, f.request.keyHash):
		return nil
	case len(f.approvedKeys) > 0:
		return refuse("spec.request publicKey", "is not the one that the token was used for before: a machine that lost its key is replaced, so delete its Machine")
	case hasJoined(f.machine, f.agent):
		return refuse("spec.username", fmt.Sprintf("is the token of Machine %s/%s, which has joined already", f.machine.Namespace, f.machine.Name))
	}
	return nil
}

// nodeStays: a machine that is being deleted needs its certificates to drain. Once its Node is gone it needs none, and
// with a new one it could register that Node again.
func nodeStays(f *facts) *verdict {
	if !f.machine.DeletionTimestamp.IsZero() && f.node == nil {
		return refuse("Machine "+f.machine.Namespace+"/"+f.machine.Name, "is being deleted and its Node is gone")
	}
	return nil
}

// nodeIsOurs leaves the kubelets of other nodes to whoever approves theirs, also when somebody made a Machine by the
// name of such a node. A Node that Drover made is not among these when its Machine is gone: kubeadm has other approvers
// renew any kubelet's certificate.
func nodeIsOurs(f *facts) *verdict {
	if f.machine == nil || f.belongs() != nil {
		if f.node != nil && fence.IsMarked(f.node) {
			return refuse("spec.username", fmt.Sprintf("is the kubelet of node %q, whose Machine is gone", f.nodeName()))
		}
		return &verdict{decision: ignore, message: fmt.Sprintf("no Machine of ours stands for node %q", f.nodeName())}
	}
	return nil
}

// nodeNameIsFree keeps a kubelet from taking over a Node that was there before its Machine or runs on another one. Which
// was first is by the API server's clock, which dates both.
func nodeNameIsFree(f *facts) *verdict {
	if f.node == nil || f.machine.Status.NodeRef.IsDefined() {
		return nil
	}
	taken := func(how string) *verdict {
		return &verdict{
			decision: deny, reason: v1alpha1.ReasonNodeNameTaken, field: "spec.request subject.commonName",
			message: fmt.Sprintf("names Node %s, which is not this Machine's: %s. Delete that Node, or this Machine", f.node.Name, how),
		}
	}
	nodeID, machineID := f.node.Spec.ProviderID, f.machine.Spec.ProviderID
	switch {
	case f.node.CreationTimestamp.Before(&f.machine.CreationTimestamp):
		return taken("it is older")
	case nodeID != "" && machineID == "":
		return &verdict{decision: wait, message: "the Machine has no provider ID yet to compare the Node's with"}
	case nodeID != "" && nodeID != machineID:
		return taken(fmt.Sprintf("it has provider ID %s, not %s", nodeID, machineID))
	}
	return nil
}

func onlyAlternativeNames(f *facts) *verdict {
	r := f.request
	for _, extension := range r.Extensions {
		if extension.Id.String() != subjectAltNameOID {
			return refuse("spec.request extensions", fmt.Sprintf("has %s; a server's request has only alternative names", extension.Id))
		}
	}
	if len(r.EmailAddresses)+len(r.URIs) > 0 {
		return refuse("spec.request subjectAltName", "has e-mail addresses or URIs; a kubelet has none")
	}
	if len(r.DNSNames)+len(r.IPAddresses) == 0 {
		return refuse("spec.request subjectAltName", "has neither a DNS name nor an address")
	}
	return nil
}

func namesAreTheMachines(f *facts) *verdict {
	for _, name := range f.request.DNSNames {
		if name != f.machine.Name && !f.hasAddress(name, clusterv1.MachineHostName, clusterv1.MachineInternalDNS, clusterv1.MachineExternalDNS) {
			return refuse("spec.request subjectAltName", fmt.Sprintf("has DNS name %q, which is none of the Machine's", name))
		}
	}
	return nil
}

func addressesAreTheMachines(f *facts) *verdict {
	for _, ip := range f.request.IPAddresses {
		if isReserved(ip.String()) {
			return refuse("spec.request subjectAltName", fmt.Sprintf("has address %s, which no kubelet can be reached at", ip))
		}
		if f.hasAddress(ip.String(), clusterv1.MachineInternalIP, clusterv1.MachineExternalIP) {
			continue
		}
		if len(f.machine.Status.Addresses) == 0 && !ptr.Deref(f.machine.Status.Initialization.InfrastructureProvisioned, false) {
			return &verdict{decision: wait, message: "the infrastructure provider has not reported the Machine's addresses yet"}
		}
		return refuse("spec.request subjectAltName", fmt.Sprintf("has address %s, which is none of the Machine's", ip))
	}
	return nil
}

// hasAddress is true when the Machine, or its infrastructure machine, has an address of one of the types.
func (f *facts) hasAddress(address string, types ...clusterv1.MachineAddressType) bool {
	return slices.ContainsFunc(slices.Concat(f.machine.Status.Addresses, f.infraAddresses), func(known clusterv1.MachineAddress) bool {
		return slices.Contains(types, known.Type) && sameAddress(known.Address, address)
	})
}

// sameAddress compares addresses by what they mean and names as they are.
func sameAddress(a, b string) bool {
	left, leftErr := netip.ParseAddr(a)
	right, rightErr := netip.ParseAddr(b)
	if leftErr != nil || rightErr != nil {
		return a == b
	}
	return left.Unmap() == right.Unmap()
}

// isReserved is true for addresses that no certificate may name, whatever a provider reports.
func isReserved(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && (ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast())
}
