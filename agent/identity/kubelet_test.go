package identity

import (
	"os"
	"path/filepath"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/certificate"

	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestIntroduceGivesTheKubeletWhatItWouldGetItself(t *testing.T) {
	w := newWorld(t)
	w.decide(t, certificatesv1.CertificateApproved, "")
	j := w.joiner(t, "introduces")
	id, err := j.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cluster := j.Bootstrap.Spec.Cluster
	api, err := kubeapi.New(id.RESTConfig(cluster))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	k := Kubelet{Paths: id.Paths, Node: "introduces", Kubeconfig: filepath.Join(dir, "kubelet.kubeconfig"), CertDir: filepath.Join(dir, "kubelet", "pki")}
	if err := k.Introduce(t.Context(), api, cluster, ""); err != nil {
		t.Fatal(err)
	}
	store, err := certificate.NewFileStore("kubelet-client", k.CertDir, k.CertDir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if pair, err := store.Current(); err != nil || pair.Leaf.Subject.CommonName != v1alpha1.NodeUserPrefix+"introduces" {
		t.Errorf("the kubelet finds the certificate %v (%v)", pair, err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", k.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Services("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("the kubelet may not do what nodes may: %v", err)
	}
	before, err := os.ReadFile(k.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Introduce(t.Context(), nil, cluster, ""); err != nil {
		t.Errorf("a kubelet that was introduced was not left alone: %v", err)
	}
	if after, err := os.ReadFile(k.Kubeconfig); err != nil || string(after) != string(before) {
		t.Errorf("its kubeconfig was written again (%v)", err)
	}
}

func TestIntroduceWritesNothingWhenItIsDenied(t *testing.T) {
	w := newWorld(t)
	w.decide(t, certificatesv1.CertificateDenied, "no")
	api, err := kubeapi.New(w.server.User(t, v1alpha1.AgentUserPrefix+"refused", v1alpha1.AgentsGroup))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	k := Kubelet{Paths: Paths{StateDir: dir}, Node: "refused", Kubeconfig: filepath.Join(dir, "kubelet.kubeconfig"), CertDir: filepath.Join(dir, "pki")}
	if err := k.Introduce(t.Context(), api, v1alpha1.ClusterSettings{}, ""); err == nil {
		t.Fatal("a denied request is no error")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v is left (%v), which the kubelet would take for its own", entries, err)
	}
}
