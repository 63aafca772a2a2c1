package generation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func document() *node.Bootstrap {
	b := &node.Bootstrap{NodeName: "node-1", ProviderID: "drover-local://default/node-1", Token: "abcdef.0123456789abcdef"}
	b.Spec.Revision, b.Spec.Cluster.Server = "r1", "https://10.88.0.1:6443"
	return b
}

func TestTheFirstIsTheBootstrapDocuments(t *testing.T) {
	if g := First(document()); g.Spec.Revision != "r1" || g.ObservedGeneration != 0 || g.Token != "" {
		t.Errorf("got %s with token %q", g, g.Token)
	}
}

func TestARestartBeginsWithWhatWasSaved(t *testing.T) {
	dir := t.TempDir()
	second := First(document()).Next(&v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Generation: 4}, Spec: v1alpha1.NodeAgentSpec{Revision: "r2"}})
	if err := second.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if data, _ := os.ReadFile(Path(dir)); strings.Contains(string(data), "0123456789abcdef") {
		t.Error("the join token is on disk a second time")
	}
}

func TestWhatIsOfNoUseIsPassedOver(t *testing.T) {
	for name, content := range map[string]string{"half written": `{"nodeName":`, "another node's": `{"nodeName":"other"}`} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(Path(dir)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(Path(dir), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if g, err := Load(dir, "node-1"); err != nil || g != nil {
			t.Errorf("%s: got %s, %v; want the bootstrap document's", name, g, err)
		}
	}
}

func TestTheImageIsTheOneForTheArchitecture(t *testing.T) {
	g := &Generation{}
	g.Spec = v1alpha1.NodeAgentSpec{Version: "v1.36.3", Artifacts: []v1alpha1.Artifact{{Architecture: "arm64", Image: "r/a@sha256:1"}, {Architecture: "amd64", Image: "r/b@sha256:2"}}}
	if got, err := g.Image("amd64"); err != nil || got != "r/b@sha256:2" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := g.Image("riscv64"); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("got %v, want an error that names the architecture", err)
	}
}

func TestTheMachineThatANodeAgentIsOfIsRemembered(t *testing.T) {
	of := func(machine string) *v1alpha1.NodeAgent {
		return &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.MachineUIDLabel: machine}}}
	}
	g := &Generation{}
	if g = g.Next(of("m")); g.MachineUID != "m" {
		t.Errorf("got %q", g.MachineUID)
	}
	if g = g.Next(of("other")); g.MachineUID != "m" {
		t.Errorf("another Machine's took over: %q", g.MachineUID)
	}
}
