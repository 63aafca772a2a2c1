package discovery

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }

// countingReader counts the objects that were asked for.
type countingReader struct {
	client.Reader
	reads int
}

// Get implements client.Reader.
func (r *countingReader) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	r.reads++
	return r.Reader.Get(ctx, key, obj, opts...)
}

func TestDiscoverAsksARealCluster(t *testing.T) {
	server := apiserver.Shared(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Spec: corev1.NodeSpec{
		PodCIDR: "10.42.1.0/24", PodCIDRs: []string{"10.42.1.0/24"},
	}}
	if err := server.Client.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	reader := &countingReader{Reader: server.Client}
	d := New(reader, server.Client, server.Config, Overrides{Server: "https://10.88.0.1:6443"})
	now := time.Now()
	d.now = func() time.Time { return now }
	got, err := d.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.ClientCA != string(server.ClientCA.CertPEM) {
		t.Error("the clients' authority is not the one that the API server publishes")
	}
	if strings.Join(got.ServiceCIDRs, ",") != "10.96.0.0/16" || strings.Join(got.DNSServers, ",") != "10.96.0.10" ||
		strings.Join(got.PodCIDRs, ",") != "10.42.0.0/16" || got.DNSDomain != "cluster.local" {
		t.Errorf("got %+v", got)
	}
	reads := reader.reads
	if _, err := d.Discover(t.Context()); err != nil || reader.reads != reads {
		t.Errorf("asked again within %s (%v)", Freshness, err)
	}
	now = now.Add(Freshness)
	if _, err := d.Discover(t.Context()); err != nil || reader.reads == reads {
		t.Errorf("did not ask again after %s (%v)", Freshness, err)
	}
}

// TestAFailureIsRememberedForAMoment and no longer, and leaves no half of what was found.
func TestAFailureIsRememberedForAMoment(t *testing.T) {
	server := apiserver.Shared(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	reader := &countingReader{Reader: server.Client}
	d := New(reader, server.Client, server.Config, Overrides{Server: "https://10.88.0.1:6443", PodCIDRs: []string{"10.42.0.0/16"}, ServerCAFile: file})
	now := time.Now()
	d.now = func() time.Time { return now }
	if got, err := d.Discover(t.Context()); err == nil || got.Server != "" {
		t.Fatalf("got %+v (%v), want an error and nothing else", got, err)
	}
	if err := os.WriteFile(file, server.ClientCA.CertPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Discover(t.Context()); err == nil || reader.reads > 0 {
		t.Error("asked again at once")
	}
	now = now.Add(failedFor)
	if got, err := d.Discover(t.Context()); err != nil || got.ServerCA != string(server.ClientCA.CertPEM) {
		t.Errorf("did not ask again after %s (%v)", failedFor, err)
	}
}

func TestDiscoverNamesTheFlagOfABadFile(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for flag, overrides := range map[string]Overrides{
		"--server-ca-file": {ServerCAFile: junk},
		"--client-ca-file": {ClientCAFile: filepath.Join(t.TempDir(), "missing")},
	} {
		if _, err := New(nil, nil, nil, overrides).Discover(t.Context()); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("got %v, want an error that names %s", err, flag)
		}
	}
}
