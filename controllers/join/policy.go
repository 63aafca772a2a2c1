package join

import (
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// decision is what becomes of a request.
type decision string

const (
	// approve: every check passed.
	approve decision = "Approve"
	// deny: the request claims to be one of ours and is not what it should be.
	deny decision = "Deny"
	// wait: something that has yet to happen decides; the request is looked at again.
	wait decision = "Wait"
	// ignore: not ours; some other approver's, or an administrator's.
	ignore decision = "Ignore"
)

// verdict is a decision and why.
type verdict struct {
	decision decision
	// reason is a stable CamelCase word, for conditions and events.
	reason string
	// field is the path of the field that failed, empty when none did.
	field string
	// message says what is wrong with it.
	message string
}

// String is what a user reads.
func (v verdict) String() string {
	if v.field == "" {
		return v.message
	}
	return v.field + ": " + v.message
}

// facts are all that a decision rests on. What is unknown is nil.
type facts struct {
	csr     *certificatesv1.CertificateSigningRequest
	request *request
	// requestErr says why request is nil.
	requestErr error
	// token is the Secret of the token that the request was made with.
	token *corev1.Secret
	// approvedKeys are the hashes of the public keys that this token was used for before.
	approvedKeys []string
	machine      *clusterv1.Machine
	pool         *v1alpha1.NodePool
	agent        *v1alpha1.NodeAgent
	node         *corev1.Node
	// infraAddresses are the addresses that the infrastructure machine has and the Machine may not have yet.
	infraAddresses clusterv1.MachineAddresses
}

// claim is what a requester says to be, by name and groups. The API server vouches for both.
type claim string

const (
	// claimNone: nobody of ours.
	claimNone claim = ""
	// claimToken: a machine with a join token.
	claimToken claim = "token"
	// claimAgent: the agent of a node.
	claimAgent claim = "agent"
	// claimNode: the kubelet of a node, which may be one of ours.
	claimNode claim = "node"
)

// claimOf tells who asks. The prefix of a name or the group is enough: what has only one of the two is ours to refuse.
func claimOf(csr *certificatesv1.CertificateSigningRequest) claim {
	user, groups := csr.Spec.Username, csr.Spec.Groups
	switch {
	case slices.Contains(groups, v1alpha1.BootstrapGroup):
		return claimToken
	case strings.HasPrefix(user, v1alpha1.AgentUserPrefix) || slices.Contains(groups, v1alpha1.AgentsGroup):
		return claimAgent
	case strings.HasPrefix(user, v1alpha1.NodeUserPrefix) && slices.Contains(groups, v1alpha1.NodesGroup):
		return claimNode
	}
	return claimNone
}

// nodeName is the name of the node that a request is about: for a token's that in the subject, else the requester's.
func (f *facts) nodeName() string {
	switch claimOf(f.csr) {
	case claimToken:
		if f.request != nil {
			if name, ok := strings.CutPrefix(f.request.Subject.CommonName, v1alpha1.AgentUserPrefix); ok {
				return name
			}
		}
	case claimAgent:
		name, _ := strings.CutPrefix(f.csr.Spec.Username, v1alpha1.AgentUserPrefix)
		return name
	case claimNode:
		name, _ := strings.CutPrefix(f.csr.Spec.Username, v1alpha1.NodeUserPrefix)
		return name
	case claimNone:
	}
	return ""
}

// check looks at one thing. It returns nil when that is in order, else the verdict.
type check func(f *facts) *verdict

// decide answers a request. It is a pure function: the same facts give the same verdict.
func decide(f *facts) verdict {
	checks, approval := chainFor(f)
	for _, look := range checks {
		if v := look(f); v != nil {
			return *v
		}
	}
	return approval
}

// chainFor picks the checks by who asks for a certificate of which signer.
func chainFor(f *facts) ([]check, verdict) {
	switch claimOf(f.csr) {
	case claimToken:
		return tokenChecks, approval(v1alpha1.ReasonJoinTokenUsed, "the agent of this Machine joins with its token")
	case claimAgent:
		switch f.csr.Spec.SignerName {
		case certificatesv1.KubeAPIServerClientSignerName:
			return agentRenewalChecks, approval(v1alpha1.ReasonAgentRenewed, "the agent renews its own certificate")
		case certificatesv1.KubeAPIServerClientKubeletSignerName:
			return kubeletChecks, approval(v1alpha1.ReasonKubeletIntroduced, "the agent asks for its own node's kubelet")
		}
		return []check{refuseSigner}, verdict{}
	case claimNode:
		switch f.csr.Spec.SignerName {
		case certificatesv1.KubeAPIServerClientKubeletSignerName:
			return kubeletRenewalChecks, approval(v1alpha1.ReasonKubeletRenewed, "the kubelet renews its own certificate")
		case certificatesv1.KubeletServingSignerName:
			return servingChecks, approval(v1alpha1.ReasonKubeletServing, "the kubelet serves under its Machine's addresses")
		}
	case claimNone:
	}
	return nil, verdict{decision: ignore, message: "not a request of a machine of ours"}
}

func approval(reason, message string) verdict {
	return verdict{decision: approve, reason: reason, message: message}
}

func refuse(field, message string) *verdict {
	return &verdict{decision: deny, reason: v1alpha1.ReasonCertificateDenied, field: field, message: message}
}
