package join

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	poolUID    = "0b7a6a3c-9b3f-4d1e-8f9e-1f2a3b4c5d6e"
	machineUID = "5f1d9a52-3a55-4d0a-9a57-3a4b5c6d7e8f"
)

// made is when the fixture's Machine was.
var made = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func testPool() *v1alpha1.NodePool {
	pool := &v1alpha1.NodePool{}
	pool.Namespace, pool.Name, pool.UID = "default", "workers", poolUID
	return pool
}

// nodeX is the name of the fixture's machine and node.
var nodeX = v1alpha1.MachineName(testPool(), 0)

func testMachine() *clusterv1.Machine {
	machine := &clusterv1.Machine{}
	machine.Namespace, machine.Name, machine.UID = "default", nodeX, machineUID
	machine.CreationTimestamp = metav1.NewTime(made)
	machine.Labels = map[string]string{v1alpha1.PoolLabel: "workers", v1alpha1.PoolUIDLabel: poolUID, v1alpha1.RevisionLabel: "abc"}
	machine.Spec.ClusterName = v1alpha1.AdoptedClusterName
	machine.Spec.ProviderID = v1alpha1.LocalProviderIDPrefix + "default/" + nodeX
	machine.Status.Addresses = clusterv1.MachineAddresses{
		{Type: clusterv1.MachineInternalIP, Address: "10.88.0.10"},
		{Type: clusterv1.MachineHostName, Address: nodeX},
		{Type: clusterv1.MachineInternalDNS, Address: nodeX + ".internal"},
	}
	return machine
}

// draft is a request before it is signed: what a case may spoil.
type draft struct {
	key      crypto.Signer
	template x509.CertificateRequest
	user     string
	groups   []string
	signer   string
	usages   []certificatesv1.KeyUsage
	// encode replaces the PEM text.
	encode func(pemText []byte) []byte
}

func newDraft(t *testing.T, user, group, signer, commonName, organization string) *draft {
	return &draft{
		key: newKey(t), user: user, groups: []string{group, "system:authenticated"}, signer: signer,
		template: x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName, Organization: []string{organization}}},
		usages:   []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		encode:   func(text []byte) []byte { return text },
	}
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSAKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (d *draft) sign(t *testing.T) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &d.template, d.key)
	if err != nil {
		t.Fatal(err)
	}
	csr := &certificatesv1.CertificateSigningRequest{}
	csr.Name = "request"
	csr.Spec = certificatesv1.CertificateSigningRequestSpec{
		Username: d.user, Groups: d.groups, SignerName: d.signer, Usages: d.usages,
		Request: d.encode(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
	}
	return csr
}

func tokenDraft(t *testing.T) *draft {
	return newDraft(t, "system:bootstrap:"+tokenID(machineUID, 0), v1alpha1.BootstrapGroup,
		certificatesv1.KubeAPIServerClientSignerName, v1alpha1.AgentUserPrefix+nodeX, v1alpha1.AgentsGroup)
}

func agentDraft(t *testing.T) *draft {
	return newDraft(t, v1alpha1.AgentUserPrefix+nodeX, v1alpha1.AgentsGroup,
		certificatesv1.KubeAPIServerClientSignerName, v1alpha1.AgentUserPrefix+nodeX, v1alpha1.AgentsGroup)
}

func kubeletDraft(t *testing.T) *draft {
	return newDraft(t, v1alpha1.AgentUserPrefix+nodeX, v1alpha1.AgentsGroup,
		certificatesv1.KubeAPIServerClientKubeletSignerName, v1alpha1.NodeUserPrefix+nodeX, v1alpha1.NodesGroup)
}

func renewalDraft(t *testing.T) *draft {
	return newDraft(t, v1alpha1.NodeUserPrefix+nodeX, v1alpha1.NodesGroup,
		certificatesv1.KubeAPIServerClientKubeletSignerName, v1alpha1.NodeUserPrefix+nodeX, v1alpha1.NodesGroup)
}

func servingDraft(t *testing.T) *draft {
	d := newDraft(t, v1alpha1.NodeUserPrefix+nodeX, v1alpha1.NodesGroup,
		certificatesv1.KubeletServingSignerName, v1alpha1.NodeUserPrefix+nodeX, v1alpha1.NodesGroup)
	d.usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
	d.template.DNSNames = []string{nodeX}
	d.template.IPAddresses = []net.IP{net.ParseIP("10.88.0.10")}
	return d
}

// testFacts are those of a machine that is about to join.
func testFacts(t *testing.T, csr *certificatesv1.CertificateSigningRequest) *facts {
	t.Helper()
	f := &facts{csr: csr, machine: testMachine(), pool: testPool()}
	f.request, f.requestErr = parseRequest(csr)
	if claimOf(csr) == claimToken {
		f.token = testToken().asSecret(f.machine)
	}
	f.agent = &v1alpha1.NodeAgent{}
	f.agent.Name = nodeX
	f.agent.Labels = map[string]string{v1alpha1.MachineUIDLabel: machineUID}
	return f
}

func testToken() *token {
	return &token{id: tokenID(machineUID, 0), secret: "0123456789abcdef", machineUID: machineUID, expires: made.Add(tokenLifetime(testPool()))}
}

// joinFacts turns the fixture's machine into one that has joined.
func joinFacts(f *facts) {
	f.machine.Status.NodeRef = clusterv1.MachineNodeReference{Name: nodeX}
	f.machine.Status.Initialization.InfrastructureProvisioned = ptr.To(true)
	f.agent.Status.AgentVersion = "v1"
	f.node = &corev1.Node{}
	f.node.Name = nodeX
	f.node.CreationTimestamp = metav1.NewTime(made.Add(time.Second))
	f.node.Spec.ProviderID = f.machine.Spec.ProviderID
}
