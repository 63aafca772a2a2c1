package join_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/join"
	"github.com/drover-dev/drover/controllers/nodeagent"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }

// patience is how long a test waits for something that should take a moment.
const patience = 30 * time.Second

// cluster is a control plane with our rules installed and our controllers running.
type cluster struct {
	*apiserver.Server
	writes, reads *writeLog
	facts         *facts
	// cache is the manager's.
	cache client.Reader
}

// facts are those of the cluster, as the manager finds them out.
type facts struct {
	sync.Mutex
	settings v1alpha1.ClusterSettings
	err      error
}

func (f *facts) set(change func(*v1alpha1.ClusterSettings), err error) {
	f.Lock()
	defer f.Unlock()
	change(&f.settings)
	f.err = err
}

// Discover implements desired.Facts.
func (f *facts) Discover(context.Context) (v1alpha1.ClusterSettings, error) {
	f.Lock()
	defer f.Unlock()
	return *f.settings.DeepCopy(), f.err
}

// Update implements desired.Facts.
func (f *facts) Update(ctx context.Context, _ v1alpha1.ClusterSettings) (v1alpha1.ClusterSettings, error) {
	return f.Discover(ctx)
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	log.SetLogger(klog.Background())
	c := &cluster{Server: apiserver.Shared(t), writes: &writeLog{seen: map[string]int{}}, reads: &writeLog{seen: map[string]int{}}, facts: &facts{
		settings: v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443", ServerCA: "x", ClientCA: "x"},
	}}
	c.StartControllerManager(t, "certificatesigningrequest-signing-controller")
	for _, pattern := range []string{"../../config/rbac/agents.yaml", "../../config/admission/*_*.yaml"} {
		c.install(t, pattern)
	}
	c.startManager(t)
	return c
}

func (c *cluster) install(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files match %s: %v", pattern, err)
	}
	for _, file := range files {
		reader, err := os.Open(file)
		must(t, err)
		decoder := yaml.NewYAMLOrJSONDecoder(reader, 4096)
		for {
			object := &unstructured.Unstructured{}
			if decoder.Decode(object) != nil {
				break
			}
			must(t, c.Client.Create(t.Context(), object))
		}
		must(t, reader.Close())
	}
}

func (c *cluster) startManager(t *testing.T) {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &countingTransport{next: next, writes: c.writes, reads: c.reads}
	})
	manager, err := ctrl.NewManager(config, ctrl.Options{Scheme: c.Scheme, Metrics: metricsserver.Options{BindAddress: "0"}})
	must(t, err)
	must(t, (&join.TokenReconciler{Facts: c.facts, FactsEvery: 50 * time.Millisecond}).SetupWithManager(t.Context(), manager))
	must(t, (&join.ApprovalReconciler{}).SetupWithManager(t.Context(), manager))
	must(t, (&nodeagent.Reconciler{Facts: c.facts, FactsEvery: 50 * time.Millisecond}).SetupWithManager(t.Context(), manager))
	must(t, (&fence.Reconciler{}).SetupWithManager(t.Context(), manager))
	c.cache = manager.GetCache()
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(t.Context()) }()
	t.Cleanup(func() { must(t, <-ended) }) // The test's context has ended by then.
	if !manager.GetCache().WaitForCacheSync(t.Context()) {
		t.Fatal("the manager's cache did not fill")
	}
}

// writeLog counts the manager's writes, or its reads, by object.
type writeLog struct {
	sync.Mutex
	seen map[string]int
}

// of are the writes whose path has the fragment in it.
func (l *writeLog) of(fragment string) map[string]int {
	l.Lock()
	defer l.Unlock()
	found := map[string]int{}
	for write, times := range l.seen {
		if strings.Contains(write, fragment) {
			found[write] = times
		}
	}
	return found
}

type countingTransport struct {
	next          http.RoundTripper
	writes, reads *writeLog
}

func (c *countingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	switch {
	case err != nil || strings.Contains(request.URL.Path, "/events"):
	case request.Method == http.MethodGet:
		c.reads.add(request.URL.Path + "?" + request.URL.Query().Get("fieldSelector"))
	default:
		c.writes.add(request.Method + " " + request.URL.Path)
	}
	return response, err
}

func (l *writeLog) add(what string) {
	l.Lock()
	defer l.Unlock()
	l.seen[what]++
}

// machine is one Machine of a pool, and what plays the part of the machine itself.
type machine struct {
	*cluster
	pool    *v1alpha1.NodePool
	object  *clusterv1.Machine
	address string
}

func (c *cluster) newPool(t *testing.T, name string) *v1alpha1.NodePool {
	t.Helper()
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace(t), Name: name}}
	pool.Spec.Template.Spec.Version = "v1.36.3"
	pool.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{APIGroup: "fleet.drover.dev", Kind: "LocalMachineTemplate", Name: "small"}
	pool.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"tier": "web"}
	pool.Spec.Template.Spec.Taints = []v1alpha1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
	must(t, c.Client.Create(t.Context(), pool))
	spec, err := json.Marshal(v1alpha1.NodeAgentSpec{
		NodeSettings: pool.Spec.Template.Spec.NodeSettings,
		Revision:     "abc", Version: "v1.36.3",
		Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "10.88.0.1:5443/bundles/kubernetes@sha256:" + strings.Repeat("a", 64)}},
		Cluster:   v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443", ServerCA: "as an earlier Drover stored it", ClientCA: "x"},
	})
	must(t, err)
	revision := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{
		Namespace: pool.Namespace, Name: v1alpha1.RevisionName(pool.Name, "abc"), Labels: map[string]string{v1alpha1.PoolUIDLabel: string(pool.UID)},
	}, Revision: 1}
	revision.Data.Raw = spec
	must(t, c.Client.Create(t.Context(), revision))
	return pool
}

// newMachine makes a Machine as the nodepool controller does and says of it what Cluster API would.
func (c *cluster) newMachine(t *testing.T, pool *v1alpha1.NodePool, ordinal int64, edits ...func(*clusterv1.Machine)) *machine {
	t.Helper()
	name := v1alpha1.MachineName(pool, ordinal)
	object := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{
		Namespace: pool.Namespace, Name: name, Labels: map[string]string{
			clusterv1.ClusterNameLabel: v1alpha1.AdoptedClusterName, v1alpha1.PoolLabel: pool.Name,
			v1alpha1.PoolUIDLabel: string(pool.UID), v1alpha1.RevisionLabel: "abc",
		},
	}}
	object.Spec.ClusterName = v1alpha1.AdoptedClusterName
	object.Spec.Version = "v1.36.3"
	object.Spec.ProviderID = v1alpha1.LocalProviderIDPrefix + pool.Namespace + "/" + name
	object.Spec.Bootstrap.DataSecretName = ptr.To(name + v1alpha1.BootstrapSecretSuffix)
	object.Spec.InfrastructureRef = clusterv1.ContractVersionedObjectReference{APIGroup: "fleet.drover.dev", Kind: "LocalMachine", Name: name}
	for _, edit := range edits {
		edit(object)
	}
	must(t, c.Client.Create(t.Context(), object))
	m := &machine{cluster: c, pool: pool, object: object, address: "10.88.0.77"}
	m.status(t, func(s *clusterv1.MachineStatus) {
		s.Initialization.InfrastructureProvisioned = ptr.To(true)
		s.Addresses = clusterv1.MachineAddresses{{Type: clusterv1.MachineInternalIP, Address: m.address}}
	})
	return m
}

func (m *machine) status(t *testing.T, change func(*clusterv1.MachineStatus)) {
	t.Helper()
	must(t, m.Client.Get(t.Context(), client.ObjectKeyFromObject(m.object), m.object))
	patch := client.MergeFrom(m.object.DeepCopy())
	change(&m.object.Status)
	must(t, m.Client.Status().Patch(t.Context(), m.object, patch))
}

// token waits for the bootstrap Secret and returns a client that has nothing but the token in it.
func (m *machine) token(t *testing.T) client.Client {
	t.Helper()
	secret := &corev1.Secret{}
	eventually(t, "the bootstrap Secret exists", func(ctx context.Context) error {
		return m.Client.Get(ctx, client.ObjectKey{Namespace: m.pool.Namespace, Name: m.object.Name + v1alpha1.BootstrapSecretSuffix}, secret)
	})
	var bootstrap node.Bootstrap
	must(t, json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], &bootstrap))
	config := rest.AnonymousClientConfig(m.Config)
	config.BearerToken = bootstrap.Token
	return m.as(t, config)
}

func (c *cluster) as(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	user, err := client.New(config, client.Options{Scheme: c.Scheme})
	must(t, err)
	return user
}

// application is a request for a certificate as a caller would make it.
type application struct {
	key                      *ecdsa.PrivateKey
	commonName, organization string
	signer                   string
	usage                    certificatesv1.KeyUsage
	dns                      []string
	ips                      []net.IP
}

func (m *machine) agentApplication(t *testing.T) *application {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &application{key: key, commonName: v1alpha1.AgentUserPrefix + m.object.Name, organization: v1alpha1.AgentsGroup,
		signer: certificatesv1.KubeAPIServerClientSignerName, usage: certificatesv1.UsageClientAuth}
}

func (m *machine) kubeletApplication(t *testing.T) *application {
	t.Helper()
	a := m.agentApplication(t)
	a.commonName, a.organization, a.signer = v1alpha1.NodeUserPrefix+m.object.Name, v1alpha1.NodesGroup, certificatesv1.KubeAPIServerClientKubeletSignerName
	return a
}

func (m *machine) servingApplication(t *testing.T, ip string) *application {
	t.Helper()
	a := m.kubeletApplication(t)
	a.signer, a.usage = certificatesv1.KubeletServingSignerName, certificatesv1.UsageServerAuth
	a.dns, a.ips = []string{m.object.Name}, []net.IP{net.ParseIP(ip)}
	return a
}

// request is the application, signed.
func (a *application) request(t *testing.T) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: a.commonName, Organization: []string{a.organization}},
		DNSNames: a.dns, IPAddresses: a.ips,
	}, a.key)
	must(t, err)
	csr := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	csr.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	csr.Spec.SignerName = a.signer
	csr.Spec.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, a.usage}
	return csr
}

// send makes the request and returns it as soon as it is answered, and when it was approved also signed.
func (a *application) send(t *testing.T, c *cluster, user client.Client) (*certificatesv1.CertificateSigningRequest, error) {
	t.Helper()
	csr := a.request(t)
	if err := user.Create(t.Context(), csr); err != nil {
		return nil, err
	}
	eventually(t, "the request for "+a.commonName+" is answered", func(ctx context.Context) error {
		if err := c.Client.Get(ctx, client.ObjectKeyFromObject(csr), csr); err != nil {
			return err
		}
		if len(csr.Status.Conditions) == 0 || (csr.Status.Conditions[0].Type == certificatesv1.CertificateApproved && len(csr.Status.Certificate) == 0) {
			return errNotYet
		}
		return nil
	})
	return csr, nil
}

// identity is a client with the certificate that was granted.
func (a *application) identity(t *testing.T, c *cluster, user client.Client) client.Client {
	t.Helper()
	csr, err := a.send(t, c, user)
	must(t, err)
	if condition := csr.Status.Conditions[0]; condition.Type != certificatesv1.CertificateApproved {
		t.Fatalf("the request for %s was %s: %s", a.commonName, condition.Type, condition.Message)
	}
	config := rest.AnonymousClientConfig(c.Config)
	config.CertData = csr.Status.Certificate
	config.KeyData, err = keyutil.MarshalPrivateKeyToPEM(a.key)
	must(t, err)
	return c.as(t, config)
}

// wantDenied sends the request and wants a denial that names the field.
func (a *application) wantDenied(t *testing.T, c *cluster, user client.Client, field string) {
	t.Helper()
	csr, err := a.send(t, c, user)
	must(t, err)
	condition := csr.Status.Conditions[0]
	if condition.Type != certificatesv1.CertificateDenied || !strings.HasPrefix(condition.Message, field) {
		t.Errorf("the request for %s of %s was %s: %q; want a denial of %s", a.commonName, a.signer, condition.Type, condition.Message, field)
	}
}

var errNotYet = apierrors.NewServiceUnavailable("not yet")

func eventually(t *testing.T, what string, check func(ctx context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("after %s it is not so that %s: %v", patience, what, last)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
