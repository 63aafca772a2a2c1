package agent

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func bootstrap(t *testing.T, dir string) string {
	t.Helper()
	b := node.Bootstrap{NodeName: "node-1", ProviderID: "drover-local://default/node-1", Token: "abcdef.0123456789abcdef"}
	b.Spec.Revision, b.Spec.Cluster.Server = "r1", "https://10.88.0.1:6443"
	data, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bootReport is what an agent has left for its infrastructure provider.
func bootReport(t *testing.T, runDir string) node.BootReport {
	t.Helper()
	var got node.BootReport
	data, err := os.ReadFile(bootreport.Path(runDir))
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// joinedBoot is the boot report of an agent that has an identity, which has ended.
func joinedBoot() *bootreport.Reporter {
	r := bootreport.New(os.DevNull, logr.Discard())
	r.End()
	return r
}

func TestTheFirstGenerationIsTheBootstrapDocuments(t *testing.T) {
	dir := t.TempDir()
	b, err := loadBootstrap(bootstrap(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if g := firstGeneration(b); g.Spec.Revision != "r1" || g.ObservedGeneration != 0 || g.Token != "" {
		t.Errorf("got %s with token %q", g, g.Token)
	}
}

func TestARestartBeginsWithTheCommittedGeneration(t *testing.T) {
	dir := t.TempDir()
	b, err := loadBootstrap(bootstrap(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	second := firstGeneration(b).next(&v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Generation: 4}, Spec: v1alpha1.NodeAgentSpec{Revision: "r2"}})
	if err := second.commit(dir); err != nil {
		t.Fatal(err)
	}
	got, err := loadCommitted(dir, b.NodeName)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if data, _ := os.ReadFile(generationPath(dir)); strings.Contains(string(data), "0123456789abcdef") {
		t.Error("the join token is on disk a second time")
	}
}

func TestTheNodeIsKnownToAnAgentThatFollowsOneAtWork(t *testing.T) {
	for name, c := range map[string]struct {
		reason          string
		identity, state bool
		network         v1alpha1.NetworkMode
		known           bool
	}{
		"the first start":      {"there is no Node yet that could be missed", false, false, "", false},
		"joined, not begun":    {"no kubelet was ever started", true, false, "", false},
		"begun, not joined":    {"nor was one without identity", false, true, "", false},
		"with routes":          {"a Node that is not there was deleted meanwhile", true, true, v1alpha1.NetworkModeRoutes, true},
		"with another network": {"so it was where others keep the pods' ranges", true, true, v1alpha1.NetworkModeExternal, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			opts := Options{BootstrapPath: bootstrap(t, dir), StateDir: dir, RunDir: filepath.Join(dir, "run"), Log: logr.Discard()}
			b, err := loadBootstrap(opts.BootstrapPath)
			if err != nil {
				t.Fatal(err)
			}
			if c.identity {
				pair := identity.Paths{StateDir: dir}.Pair()
				if err := errors.Join(os.MkdirAll(filepath.Dir(pair), 0o755), os.WriteFile(pair, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if c.state {
				g := firstGeneration(b)
				g.Spec.Network.Mode = c.network
				if err := g.commit(dir); err != nil {
					t.Fatal(err)
				}
			}
			a, err := New(opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.nodes().Known; got != c.known {
				t.Errorf("known is %v, want %v: %s", got, c.known, c.reason)
			}
		})
	}
}

func TestAGenerationThatIsOfNoUseIsPassedOver(t *testing.T) {
	for name, content := range map[string]string{"half written": `{"nodeName":`, "another node's": `{"nodeName":"other"}`} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(generationPath(dir)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(generationPath(dir), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if g, err := loadCommitted(dir, "node-1"); err != nil || g != nil {
			t.Errorf("%s: got %s, %v; want the bootstrap document's", name, g, err)
		}
	}
}

func TestABootstrapDocumentThatSaysNothingIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	for _, content := range []string{"", "{}", "null", `{"nodeName":"n"}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadBootstrap(path); err == nil {
			t.Errorf("%q was taken", content)
		}
	}
}

func TestImageIsTheOneForTheArchitecture(t *testing.T) {
	spec := &v1alpha1.NodeAgentSpec{Version: "v1.36.3", Artifacts: []v1alpha1.Artifact{{Architecture: "arm64", Image: "r/a@sha256:1"}, {Architecture: "amd64", Image: "r/b@sha256:2"}}}
	if got, err := image(spec, "amd64"); err != nil || got != "r/b@sha256:2" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := image(spec, "riscv64"); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("got %v, want an error that names the architecture", err)
	}
}
