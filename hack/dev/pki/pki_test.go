package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/drover-dev/drover/hack/dev/pki"
)

func TestIssue(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.NewAuthority(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		reason string
		id     pki.Identity
		usage  x509.ExtKeyUsage
		verify string
	}{
		"a client": {
			reason: "An identity without hosts can only be a client.",
			id:     pki.Identity{Name: "admin", User: "admin", Groups: []string{"system:masters"}},
			usage:  x509.ExtKeyUsageClientAuth,
		},
		"a server": {
			reason: "A server is known by its addresses too.",
			id:     pki.Identity{Name: "apiserver", User: "kube-apiserver", Hosts: []string{"localhost", "10.88.0.1"}},
			usage:  x509.ExtKeyUsageServerAuth,
			verify: "10.88.0.1",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if err := ca.Issue(tc.id); err != nil {
				t.Fatal(err)
			}
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, tc.id.Name+".crt"), filepath.Join(dir, tc.id.Name+".key"))
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			raw, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
			if err != nil || !roots.AppendCertsFromPEM(raw) {
				t.Fatalf("read ca.crt: %v", err)
			}
			_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: tc.verify, KeyUsages: []x509.ExtKeyUsage{tc.usage}})
			if err != nil {
				t.Errorf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.id.Groups, pair.Leaf.Subject.Organization); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKubeconfig(t *testing.T) {
	dir := t.TempDir()
	ca, err := pki.NewAuthority(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue(pki.Identity{Name: "admin", User: "admin"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "kubeconfig")
	if err := pki.Kubeconfig(path, dir, "admin", "https://10.88.0.1:6443"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.88.0.1:6443" || len(config.CertData) == 0 || len(config.KeyData) == 0 {
		t.Errorf("the kubeconfig lacks something: %v", config)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v (%v), want 0600: a key is in it", info.Mode(), err)
	}
}
