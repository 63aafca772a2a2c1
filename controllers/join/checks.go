package join

import (
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// The chains. Each is read from top to bottom; the first check that has something to say decides.
var (
	tokenChecks = []check{
		signerIs(certificatesv1.KubeAPIServerClientSignerName), requesterIsToken, readable,
		namesAnAgent, organizationIs(v1alpha1.AgentsGroup), subjectHasNothingElse, noAlternativeNames, noExtensions,
		usagesAre(certificatesv1.UsageClientAuth),
		tokenExists, machineExists, tokenIsTheMachines, machineIsThePools, machineIsOurs, machineStays, tokenIsFresh,
	}
	agentRenewalChecks = []check{
		requesterIsAgent, readable,
		commonNameIs(v1alpha1.AgentUserPrefix), organizationIs(v1alpha1.AgentsGroup), subjectHasNothingElse,
		noAlternativeNames, noExtensions, usagesAre(certificatesv1.UsageClientAuth), machineExists, machineIsOurs, nodeStays,
	}
	kubeletChecks = []check{
		requesterIsAgent, readable,
		commonNameIs(v1alpha1.NodeUserPrefix), organizationIs(v1alpha1.NodesGroup), subjectHasNothingElse,
		noAlternativeNames, noExtensions, usagesAre(certificatesv1.UsageClientAuth), machineExists, machineIsOurs, machineStays,
		nodeNameIsFree,
	}
	kubeletRenewalChecks = []check{
		nodeIsOurs, nodeStays, readable,
		commonNameIs(v1alpha1.NodeUserPrefix), organizationIs(v1alpha1.NodesGroup), subjectHasNothingElse,
		noAlternativeNames, noExtensions, usagesAre(certificatesv1.UsageClientAuth),
	}
	servingChecks = []check{
		nodeIsOurs, nodeStays, readable,
		commonNameIs(v1alpha1.NodeUserPrefix), organizationIs(v1alpha1.NodesGroup), subjectHasNothingElse,
		onlyAlternativeNames, usagesAre(certificatesv1.UsageServerAuth), namesAreTheMachines, addressesAreTheMachines,
	}
)

func signerIs(name string) check {
	return func(f *facts) *verdict {
		if f.csr.Spec.SignerName != name {
			return refuse("spec.signerName", fmt.Sprintf("is %s; with a join token only %s can be asked", f.csr.Spec.SignerName, name))
		}
		return nil
	}
}

func refuseSigner(f *facts) *verdict {
	return refuse("spec.signerName", fmt.Sprintf("is %s; an agent can ask only %s and %s", f.csr.Spec.SignerName,
		certificatesv1.KubeAPIServerClientSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName))
}

func requesterIsToken(f *facts) *verdict {
	if !strings.HasPrefix(f.csr.Spec.Username, bootstrapapi.BootstrapUserPrefix) {
		return refuse("spec.username", fmt.Sprintf("is %s, which is in group %s but is no token", f.csr.Spec.Username, v1alpha1.BootstrapGroup))
	}
	return nil
}

func requesterIsAgent(f *facts) *verdict {
	if f.nodeName() == "" || !strings.HasPrefix(f.csr.Spec.Username, v1alpha1.AgentUserPrefix) {
		return refuse("spec.username", fmt.Sprintf("is %s, which is in group %s but is no agent", f.csr.Spec.Username, v1alpha1.AgentsGroup))
	}
	if !slices.Contains(f.csr.Spec.Groups, v1alpha1.AgentsGroup) {
		return refuse("spec.groups", fmt.Sprintf("lacks %s, which every agent is in", v1alpha1.AgentsGroup))
	}
	return nil
}

func readable(f *facts) *verdict {
	if f.request == nil {
		return refuse("spec.request", f.requestErr.Error())
	}
	return nil
}

func namesAnAgent(f *facts) *verdict {
	if f.nodeName() == "" {
		return refuse("spec.request subject.commonName", fmt.Sprintf("is %q, not %s<node>", f.request.Subject.CommonName, v1alpha1.AgentUserPrefix))
	}
	return nil
}

// commonNameIs asks for the requester's own node behind the prefix.
func commonNameIs(prefix string) check {
	return func(f *facts) *verdict {
		if want := prefix + f.nodeName(); f.request.Subject.CommonName != want {
			return refuse("spec.request subject.commonName", fmt.Sprintf("is %q; %s can ask only for %q", f.request.Subject.CommonName, f.csr.Spec.Username, want))
		}
		return nil
	}
}

func organizationIs(group string) check {
	return func(f *facts) *verdict {
		if !slices.Equal(f.request.Subject.Organization, []string{group}) {
			return refuse("spec.request subject.organization", fmt.Sprintf("is %q, not exactly %q", f.request.Subject.Organization, group))
		}
		return nil
	}
}

// subjectHasNothingElse: what is neither common name nor organization has no business in the subject.
func subjectHasNothingElse(f *facts) *verdict {
	if len(f.request.Subject.Names) != 2 {
		return refuse("spec.request subject", "has more than one common name and one organization")
	}
	return nil
}

func noAlternativeNames(f *facts) *verdict {
	r := f.request
	if len(r.DNSNames)+len(r.IPAddresses)+len(r.EmailAddresses)+len(r.URIs) > 0 {
		return refuse("spec.request subjectAltName", "is there; a client's certificate has none")
	}
	return nil
}

func noExtensions(f *facts) *verdict {
	if len(f.request.Extensions) > 0 {
		return refuse("spec.request extensions", fmt.Sprintf("has %s; a client's request has none", f.request.Extensions[0].Id))
	}
	return nil
}

// usagesAre asks for digital signature and one more usage. Key encipherment is what RSA keys do, so they may have it.
func usagesAre(purpose certificatesv1.KeyUsage) check {
	return func(f *facts) *verdict {
		want := map[certificatesv1.KeyUsage]bool{certificatesv1.UsageDigitalSignature: true, purpose: true}
		seen := map[certificatesv1.KeyUsage]bool{}
		for _, usage := range f.csr.Spec.Usages {
			if usage == certificatesv1.UsageKeyEncipherment && f.request.isRSA {
				continue
			}
			if !want[usage] {
				return refuse("spec.usages", fmt.Sprintf("has %q, which is not among those this certificate may have", usage))
			}
			seen[usage] = true
		}
		if len(seen) != len(want) {
			return refuse("spec.usages", fmt.Sprintf("are not both %q and %q", certificatesv1.UsageDigitalSignature, purpose))
		}
		return nil
	}
}
