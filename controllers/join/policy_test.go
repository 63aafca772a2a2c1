package join

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// ruling is one case: how a good request or what is known about its machine differs, and what becomes of it.
type ruling struct {
	reason string
	spoil  func(t *testing.T, d *draft)
	know   func(f *facts)
	want   decision
	// field is what the message must begin with.
	field string
}

func judgeAll(t *testing.T, newDraft func(*testing.T) *draft, rulings []ruling) {
	t.Helper()
	for _, c := range rulings {
		t.Run(strings.ReplaceAll(c.reason, " ", "_"), func(t *testing.T) {
			d := newDraft(t)
			if c.spoil != nil {
				c.spoil(t, d)
			}
			f := testFacts(t, d.sign(t))
			if c.know != nil {
				c.know(f)
			}
			got := decide(f)
			if got.decision != c.want || got.field != c.field {
				t.Errorf("%s: got %s of %q (%s), want %s of %q", c.reason, got.decision, got.field, got.message, c.want, c.field)
			}
			if got.decision == deny && (got.reason == "" || got.message == "") {
				t.Errorf("%s: a denial says nothing: %+v", c.reason, got)
			}
		})
	}
}

// forgedClient are the ways in which any client's request can be wrong.
func forgedClient() []ruling {
	return []ruling{
		{reason: "the text is no PEM", spoil: func(_ *testing.T, d *draft) { d.encode = func([]byte) []byte { return []byte("x") } }, want: deny, field: "spec.request"},
		{reason: "something follows the PEM block", spoil: func(_ *testing.T, d *draft) {
			d.encode = func(text []byte) []byte { return append(text, text...) }
		}, want: deny, field: "spec.request"},
		{reason: "the PEM block is of another type", spoil: func(_ *testing.T, d *draft) {
			d.encode = func(text []byte) []byte {
				return []byte(strings.ReplaceAll(string(text), "CERTIFICATE REQUEST", "CERTIFICATE"))
			}
		}, want: deny, field: "spec.request"},
		{reason: "the RSA key is short", spoil: func(t *testing.T, d *draft) { d.key = newRSAKey(t, 1024) }, want: deny, field: "spec.request"},
		{reason: "a second organization", spoil: func(_ *testing.T, d *draft) {
			d.template.Subject.Organization = append(d.template.Subject.Organization, "system:masters")
		}, want: deny, field: "spec.request subject.organization"},
		{reason: "another organization", spoil: func(_ *testing.T, d *draft) { d.template.Subject.Organization = []string{"system:masters"} }, want: deny, field: "spec.request subject.organization"},
		{reason: "no organization", spoil: func(_ *testing.T, d *draft) { d.template.Subject.Organization = nil }, want: deny, field: "spec.request subject.organization"},
		{reason: "an organizational unit", spoil: func(_ *testing.T, d *draft) { d.template.Subject.OrganizationalUnit = []string{"x"} }, want: deny, field: "spec.request subject"},
		{reason: "a second common name", spoil: func(_ *testing.T, d *draft) {
			d.template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "system:admin"},
				{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: d.template.Subject.CommonName},
			}
		}, want: deny, field: "spec.request subject"},
		{reason: "a DNS name", spoil: func(_ *testing.T, d *draft) { d.template.DNSNames = []string{"kubernetes"} }, want: deny, field: "spec.request subjectAltName"},
		{reason: "an address", spoil: func(_ *testing.T, d *draft) { d.template.IPAddresses = []net.IP{net.IPv4(10, 96, 0, 1)} }, want: deny, field: "spec.request subjectAltName"},
		{reason: "an e-mail address", spoil: func(_ *testing.T, d *draft) { d.template.EmailAddresses = []string{"a@b"} }, want: deny, field: "spec.request subjectAltName"},
		{reason: "a URI", spoil: func(_ *testing.T, d *draft) { d.template.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }, want: deny, field: "spec.request subjectAltName"},
		{reason: "asks to be an authority", spoil: func(_ *testing.T, d *draft) {
			d.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}
		}, want: deny, field: "spec.request extensions"},
		{reason: "no usages", spoil: func(_ *testing.T, d *draft) { d.usages = nil }, want: deny, field: "spec.usages"},
		{reason: "client auth is missing", spoil: func(_ *testing.T, d *draft) { d.usages = d.usages[:1] }, want: deny, field: "spec.usages"},
		{reason: "digital signature is missing", spoil: func(_ *testing.T, d *draft) { d.usages = d.usages[1:] }, want: deny, field: "spec.usages"},
		{reason: "server auth as well", spoil: func(_ *testing.T, d *draft) { d.usages = append(d.usages, certificatesv1.UsageServerAuth) }, want: deny, field: "spec.usages"},
		{reason: "cert sign as well", spoil: func(_ *testing.T, d *draft) { d.usages = append(d.usages, certificatesv1.UsageCertSign) }, want: deny, field: "spec.usages"},
		{reason: "key encipherment with a key that cannot", spoil: func(_ *testing.T, d *draft) { d.usages = append(d.usages, certificatesv1.UsageKeyEncipherment) }, want: deny, field: "spec.usages"},
		{reason: "key encipherment with RSA", spoil: func(t *testing.T, d *draft) {
			d.key = newRSAKey(t, 2048)
			d.usages = append(d.usages, certificatesv1.UsageKeyEncipherment)
		}, want: approve},
		{reason: "RSA without key encipherment", spoil: func(t *testing.T, d *draft) { d.key = newRSAKey(t, 2048) }, want: approve},
	}
}

func commonName(name string) func(*testing.T, *draft) {
	return func(_ *testing.T, d *draft) { d.template.Subject.CommonName = name }
}

func TestAMachineJoinsWithItsToken(t *testing.T) {
	judgeAll(t, tokenDraft, append(forgedClient(), []ruling{
		{reason: "everything is right", want: approve},
		{reason: "the signer is the kubelets", spoil: func(_ *testing.T, d *draft) { d.signer = certificatesv1.KubeAPIServerClientKubeletSignerName }, want: deny, field: "spec.signerName"},
		{reason: "the signer is that of servers", spoil: func(_ *testing.T, d *draft) { d.signer = certificatesv1.KubeletServingSignerName }, want: deny, field: "spec.signerName"},
		{reason: "the signer is a third party", spoil: func(_ *testing.T, d *draft) { d.signer = "example.com/signer" }, want: deny, field: "spec.signerName"},
		{reason: "the requester is in the group but no token", spoil: func(_ *testing.T, d *draft) { d.user = "mallory" }, want: deny, field: "spec.username"},
		{reason: "the requester is not in the group", spoil: func(_ *testing.T, d *draft) { d.groups = []string{"system:bootstrappers"} }, want: ignore},
		{reason: "the name is a kubelet's", spoil: commonName(v1alpha1.NodeUserPrefix + nodeX), want: deny, field: "spec.request subject.commonName"},
		{reason: "the name is an agent's without a node", spoil: commonName(v1alpha1.AgentUserPrefix), want: deny, field: "spec.request subject.commonName"},
		{reason: "the name is an administrator's", spoil: commonName("system:admin"), want: deny, field: "spec.request subject.commonName"},
		{reason: "the name is another machine's", know: func(f *facts) { f.machine.UID = "another" }, want: deny, field: "spec.request subject.commonName"},
		{reason: "the token names another machine", know: func(f *facts) { f.token.Annotations[clusterv1.MachineAnnotation] = "other" }, want: deny, field: "spec.request subject.commonName"},
		{reason: "the token is gone", know: func(f *facts) { f.token = nil }, want: deny, field: "spec.username"},
		{reason: "the Secret is of another type", know: func(f *facts) { f.token.Type = corev1.SecretTypeOpaque }, want: deny, field: "spec.username"},
		{reason: "the token was made by somebody else", know: func(f *facts) { f.token.Labels = nil }, want: deny, field: "spec.username"},
		{reason: "the Machine is gone", know: func(f *facts) { f.machine = nil }, want: deny, field: "spec.request subject.commonName"},
		{reason: "the Machine's pool is gone", know: func(f *facts) { f.pool = nil }, want: deny, field: "Machine default/" + nodeX},
		{reason: "the pool was made anew", know: func(f *facts) { f.pool.UID = "new" }, want: deny, field: "Machine default/" + nodeX},
		{reason: "the Machine has another pool's label", know: func(f *facts) { f.machine.Labels[v1alpha1.PoolLabel] = "other" }, want: deny, field: "Machine default/" + nodeX},
		{reason: "the NodeAgent is that of a Machine of another namespace", know: func(f *facts) { f.agent.Labels[v1alpha1.MachineUIDLabel] = "another" }, want: deny, field: "Machine default/" + nodeX},
		{reason: "the Machine is being deleted", know: func(f *facts) { f.machine.DeletionTimestamp = ptr.To(metav1.NewTime(made)) }, want: deny, field: "Machine default/" + nodeX},
		{reason: "the Machine has joined", know: joinFacts, want: deny, field: "spec.username"},
		{reason: "only its agent has reported", know: func(f *facts) { f.agent.Status.AgentVersion = "v1" }, want: deny, field: "spec.username"},
		{reason: "its agent reported and the NodeAgent was deleted", know: func(f *facts) { f.agent = nil; setHealth(f, v1alpha1.ReasonProbeFailed) }, want: deny, field: "spec.username"},
		{reason: "the provider said why it did not boot, then it did", know: func(f *facts) { setHealth(f, v1alpha1.ReasonBootFailed) }, want: approve},
		{reason: "its cluster could not be found out for a while", know: func(f *facts) { setHealth(f, v1alpha1.ReasonDiscoveryFailed) }, want: approve},
		{reason: "its revision was gone for a while", know: func(f *facts) { setHealth(f, v1alpha1.ReasonRevisionUnusable) }, want: approve},
		{reason: "its NodeAgent was refused at first", know: func(f *facts) { setHealth(f, v1alpha1.ReasonNodeAgentRefused) }, want: approve},
		{reason: "its labels and taints are refused, which are put there after its report", know: func(f *facts) { setHealth(f, v1alpha1.ReasonTemplateNotApplied) }, want: deny, field: "spec.username"},
		{reason: "there is no NodeAgent yet", know: func(f *facts) { f.agent = nil }, want: approve},
		{reason: "the same key again", know: func(f *facts) { f.approvedKeys = []string{f.request.keyHash} }, want: approve},
		{reason: "the same key again after joining", know: func(f *facts) { joinFacts(f); f.approvedKeys = []string{f.request.keyHash} }, want: approve},
		{reason: "another key than before", know: func(f *facts) { f.approvedKeys = []string{"another"} }, want: deny, field: "spec.request publicKey"},
	}...))
}

func setHealth(f *facts, reason string) {
	f.machine.Status.Conditions = []metav1.Condition{{Type: v1alpha1.MachineAgentHealthyCondition, Status: metav1.ConditionFalse, Reason: reason}}
}

// leaving has the Machine being deleted, before or after its Node.
func leaving(withNode bool) func(*facts) {
	return func(f *facts) {
		f.machine.DeletionTimestamp, f.node = ptr.To(metav1.NewTime(made)), nil
		if withNode {
			f.node = markedNode()
		}
	}
}

func markedNode() *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeX}}
	node.Spec.ProviderID = v1alpha1.LocalProviderIDPrefix + "default/" + nodeX
	return node
}

func TestAnAgentRenewsItself(t *testing.T) {
	judgeAll(t, agentDraft, append(forgedClient(), []ruling{
		{reason: "everything is right", want: approve},
		{reason: "with a new key after joining", know: joinFacts, want: approve},
		{reason: "while its machine drains", know: leaving(true), want: approve},
		{reason: "when its machine's Node is gone", know: leaving(false), want: deny, field: "Machine default/" + nodeX},
		{reason: "for another node", spoil: commonName(v1alpha1.AgentUserPrefix + "other"), want: deny, field: "spec.request subject.commonName"},
		{reason: "for its kubelet by the wrong signer", spoil: commonName(v1alpha1.NodeUserPrefix + nodeX), want: deny, field: "spec.request subject.commonName"},
		{reason: "outside the group", spoil: func(_ *testing.T, d *draft) { d.groups = []string{"system:authenticated"} }, want: deny, field: "spec.groups"},
		{reason: "in the group but no agent", spoil: func(_ *testing.T, d *draft) { d.user = "mallory" }, want: deny, field: "spec.username"},
		{reason: "an agent of no node", spoil: func(_ *testing.T, d *draft) { d.user = v1alpha1.AgentUserPrefix }, want: deny, field: "spec.username"},
		{reason: "a third party's signer", spoil: func(_ *testing.T, d *draft) { d.signer = "example.com/signer" }, want: deny, field: "spec.signerName"},
		{reason: "a serving certificate", spoil: func(_ *testing.T, d *draft) { d.signer = certificatesv1.KubeletServingSignerName }, want: deny, field: "spec.signerName"},
		{reason: "its NodeAgent was made for another Machine", know: func(f *facts) { f.agent.Labels[v1alpha1.MachineUIDLabel] = "another" }, want: deny, field: "Machine default/" + nodeX},
		{reason: "it has no NodeAgent, and no pool made the Machine", know: func(f *facts) { f.agent, f.pool = nil, nil }, want: deny, field: "Machine default/" + nodeX},
		{reason: "its pool is gone, but its NodeAgent vouches for the Machine", know: func(f *facts) { f.pool = nil }, want: approve},
		{reason: "its Machine is gone", know: func(f *facts) { f.machine = nil }, want: deny, field: "spec.request subject.commonName"},
	}...))
}

func TestAnAgentIntroducesItsKubelet(t *testing.T) {
	foreign := func(change func(*facts)) func(*facts) {
		return func(f *facts) {
			joinFacts(f)
			f.machine.Status.NodeRef = clusterv1.MachineNodeReference{}
			change(f)
		}
	}
	judgeAll(t, kubeletDraft, append(forgedClient(), []ruling{
		{reason: "everything is right", want: approve},
		{reason: "again after joining", know: joinFacts, want: approve},
		{reason: "for another node", spoil: commonName(v1alpha1.NodeUserPrefix + "other"), want: deny, field: "spec.request subject.commonName"},
		{reason: "under the agent's name", spoil: commonName(v1alpha1.AgentUserPrefix + nodeX), want: deny, field: "spec.request subject.commonName"},
		{reason: "by an agent of another node", spoil: func(_ *testing.T, d *draft) { d.user = v1alpha1.AgentUserPrefix + "other" }, want: deny, field: "spec.request subject.commonName"},
		{reason: "its Machine is gone", know: func(f *facts) { f.machine = nil }, want: deny, field: "spec.request subject.commonName"},
		{reason: "its NodeAgent was made for another Machine", know: func(f *facts) { f.agent.Labels[v1alpha1.MachineUIDLabel] = "another" }, want: deny, field: "Machine default/" + nodeX},
		{reason: "it has no NodeAgent, and no pool made the Machine", know: func(f *facts) { f.agent, f.pool = nil, nil }, want: deny, field: "Machine default/" + nodeX},
		{reason: "its pool is gone, but its NodeAgent vouches for the Machine", know: func(f *facts) { f.pool = nil }, want: approve},
		{reason: "its Machine is being deleted", know: func(f *facts) { f.machine.DeletionTimestamp = ptr.To(metav1.NewTime(made)) }, want: deny, field: "Machine default/" + nodeX},
		{reason: "its own Node is there already", know: foreign(func(*facts) {}), want: approve},
		{reason: "its own Node without a provider ID is there", know: foreign(func(f *facts) { f.node.Spec.ProviderID = "" }), want: approve},
		{reason: "an older Node has the name", know: foreign(func(f *facts) {
			f.node.CreationTimestamp = metav1.NewTime(made.Add(-time.Hour))
		}), want: deny, field: "spec.request subject.commonName"},
		{reason: "a Node of another machine has the name", know: foreign(func(f *facts) { f.node.Spec.ProviderID = "aws:///i-1" }), want: deny, field: "spec.request subject.commonName"},
		{reason: "it is not known yet whose the Node is", know: foreign(func(f *facts) { f.machine.Spec.ProviderID = "" }), want: wait},
	}...))
}

func TestAKubeletRenewsItself(t *testing.T) {
	judgeAll(t, renewalDraft, append(forgedClient(), []ruling{
		{reason: "everything is right", want: approve},
		{reason: "for another node", spoil: commonName(v1alpha1.NodeUserPrefix + "other"), want: deny, field: "spec.request subject.commonName"},
		{reason: "a node that is none of ours", know: func(f *facts) { f.machine = nil }, want: ignore},
		{reason: "a node of ours whose Machine is gone", know: func(f *facts) { f.machine, f.agent, f.node = nil, nil, markedNode() }, want: deny, field: "spec.username"},
		{reason: "somebody made a Machine of another pool by its name", know: func(f *facts) { f.agent = nil; f.machine.Labels[v1alpha1.PoolUIDLabel] = "made-up" }, want: ignore},
		{reason: "its NodeAgent was made for another Machine", know: func(f *facts) { f.agent.Labels[v1alpha1.MachineUIDLabel] = "another" }, want: ignore},
		{reason: "while its machine drains", know: leaving(true), want: approve},
		{reason: "when its machine's Node is gone", know: leaving(false), want: deny, field: "Machine default/" + nodeX},
		{reason: "not in the nodes' group", spoil: func(_ *testing.T, d *draft) { d.groups = nil }, want: ignore},
		{reason: "another signer", spoil: func(_ *testing.T, d *draft) { d.signer = certificatesv1.KubeAPIServerClientSignerName }, want: ignore},
	}...))
}

func TestAKubeletServesUnderItsMachinesAddresses(t *testing.T) {
	alternatives := func(names []string, ips ...string) func(*testing.T, *draft) {
		return func(_ *testing.T, d *draft) {
			d.template.DNSNames, d.template.IPAddresses = names, nil
			for _, ip := range ips {
				d.template.IPAddresses = append(d.template.IPAddresses, net.ParseIP(ip))
			}
		}
	}
	judgeAll(t, servingDraft, []ruling{
		{reason: "everything is right", want: approve},
		{reason: "only the name", spoil: alternatives([]string{nodeX}), want: approve},
		{reason: "only the address", spoil: alternatives(nil, "10.88.0.10"), want: approve},
		{reason: "a DNS name that the provider reports", spoil: alternatives([]string{nodeX + ".internal"}), want: approve},
		{reason: "the mapped form of the address", spoil: alternatives(nil, "::ffff:10.88.0.10"), want: approve},
		{reason: "neither name nor address", spoil: alternatives(nil), want: deny, field: "spec.request subjectAltName"},
		{reason: "another machine's name", spoil: alternatives([]string{nodeX, "other"}), want: deny, field: "spec.request subjectAltName"},
		{reason: "a wildcard", spoil: alternatives([]string{"*"}), want: deny, field: "spec.request subjectAltName"},
		{reason: "an address as a DNS name", spoil: alternatives([]string{"10.88.0.10"}), want: deny, field: "spec.request subjectAltName"},
		{reason: "another machine's address", spoil: alternatives(nil, "10.88.0.10", "10.88.0.11"), want: deny, field: "spec.request subjectAltName"},
		{reason: "the loopback address", spoil: alternatives(nil, "127.0.0.1"), know: func(f *facts) {
			f.infraAddresses = clusterv1.MachineAddresses{{Type: clusterv1.MachineInternalIP, Address: "127.0.0.1"}}
		}, want: deny, field: "spec.request subjectAltName"},
		{reason: "a URI", spoil: func(_ *testing.T, d *draft) { d.template.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }, want: deny, field: "spec.request subjectAltName"},
		{reason: "an e-mail address", spoil: func(_ *testing.T, d *draft) { d.template.EmailAddresses = []string{"a@b"} }, want: deny, field: "spec.request subjectAltName"},
		{reason: "an extension besides the names", spoil: func(_ *testing.T, d *draft) {
			d.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 3, 1, 1, 0xff}}}
		}, want: deny, field: "spec.request extensions"},
		{reason: "only the infrastructure machine has the address yet", know: func(f *facts) {
			f.infraAddresses, f.machine.Status.Addresses = f.machine.Status.Addresses, nil
		}, want: approve},
		{reason: "nobody has reported an address yet", know: func(f *facts) { f.machine.Status.Addresses = nil }, want: wait},
		{reason: "the provider reports no address at all", know: func(f *facts) {
			joinFacts(f)
			f.machine.Status.Addresses = nil
		}, want: deny, field: "spec.request subjectAltName"},
		{reason: "under another node's name", spoil: commonName(v1alpha1.NodeUserPrefix + "other"), want: deny, field: "spec.request subject.commonName"},
		{reason: "under another organization", spoil: func(_ *testing.T, d *draft) { d.template.Subject.Organization = []string{"system:masters"} }, want: deny, field: "spec.request subject.organization"},
		{reason: "with an organizational unit", spoil: func(_ *testing.T, d *draft) { d.template.Subject.OrganizationalUnit = []string{"x"} }, want: deny, field: "spec.request subject"},
		{reason: "client auth as well", spoil: func(_ *testing.T, d *draft) { d.usages = append(d.usages, certificatesv1.UsageClientAuth) }, want: deny, field: "spec.usages"},
		{reason: "client auth instead", spoil: func(_ *testing.T, d *draft) { d.usages[1] = certificatesv1.UsageClientAuth }, want: deny, field: "spec.usages"},
		{reason: "key encipherment without RSA", spoil: func(_ *testing.T, d *draft) { d.usages = append(d.usages, certificatesv1.UsageKeyEncipherment) }, want: deny, field: "spec.usages"},
		{reason: "key encipherment with RSA", spoil: func(t *testing.T, d *draft) {
			d.key = newRSAKey(t, 2048)
			d.usages = append(d.usages, certificatesv1.UsageKeyEncipherment)
		}, want: approve},
		{reason: "somebody made a Machine of another pool by its name", know: func(f *facts) { f.agent = nil; f.machine.Labels[v1alpha1.PoolUIDLabel] = "made-up" }, want: ignore},
		{reason: "its NodeAgent was made for another Machine", know: func(f *facts) { f.agent.Labels[v1alpha1.MachineUIDLabel] = "another" }, want: ignore},
		{reason: "when its machine's Node is gone", know: leaving(false), want: deny, field: "Machine default/" + nodeX},
		{reason: "an unreadable request", spoil: func(_ *testing.T, d *draft) { d.encode = func([]byte) []byte { return nil } }, want: deny, field: "spec.request"},
		{reason: "a node that is none of ours", know: func(f *facts) { f.machine = nil }, want: ignore},
	})
}

func TestOthersRequestsAreLeftAlone(t *testing.T) {
	for _, user := range []string{"system:admin", "system:serviceaccount:default:x", "system:bootstrap:abcdef", ""} {
		d := tokenDraft(t)
		d.user, d.groups = user, []string{"system:bootstrappers:kubeadm:default-node-token", "system:masters"}
		if got := decide(testFacts(t, d.sign(t))); got.decision != ignore {
			t.Errorf("%q: got %s, want it to be left to other approvers", user, got.decision)
		}
	}
}

func TestARequestSignedByAnotherKeyIsUnreadable(t *testing.T) {
	d := tokenDraft(t)
	csr := d.sign(t)
	d.encode = func(text []byte) []byte {
		// The last bytes are the signature's.
		lines := strings.Split(string(text), "\n")
		last := []byte(lines[len(lines)-3])
		last[len(last)/2] ^= 1
		lines[len(lines)-3] = string(last)
		return []byte(strings.Join(lines, "\n"))
	}
	if got := decide(testFacts(t, d.sign(t))); got.decision != deny || got.field != "spec.request" {
		t.Errorf("got %s of %q, want a denial of spec.request", got.decision, got.field)
	}
	if _, err := parseRequest(csr); err != nil {
		t.Errorf("the unspoilt request: %v", err)
	}
}
