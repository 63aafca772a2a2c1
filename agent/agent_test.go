package agent

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/generation"
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
				g := generation.First(b)
				g.Spec.Network.Mode = c.network
				store, state, err := generation.Open(dir, b.NodeName)
				state.Good = g
				if err = errors.Join(err, store.Write(state)); err != nil {
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

// An agent that is older than the document would leave out what it does not know of.
func TestABootstrapDocumentOfAnotherVersionIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	for kind, want := range map[string]string{
		`"apiVersion":"fleet.drover.dev/v1alpha1","kind":"Bootstrap"`: "",
		`"apiVersion":"fleet.drover.dev/v1beta7","kind":"Bootstrap"`:  "is a Bootstrap of fleet.drover.dev/v1beta7, and this agent knows a Bootstrap of fleet.drover.dev/v1alpha1",
		`"apiVersion":"v1","kind":"Secret"`:                           "is a Secret of v1,",
	} {
		if err := os.WriteFile(path, []byte(`{`+kind+`,"nodeName":"n","spec":{"cluster":{"server":"https://10.88.0.1:6443"}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadBootstrap(path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", kind, err, want)
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
