package component

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/supervise"
)

// bundleOf is a bundle whose parts have these contents.
func bundleOf(digest string, contents map[string]string) *bundle.Bundle {
	b := *localMachine().Bundle
	b.Digest, b.Dir, b.Parts = "sha256:"+digest, "/var/lib/drover/bundles/"+digest, map[string]string{}
	for part, content := range contents {
		b.Parts[part] = "/var/lib/drover/bundles/parts/" + content
	}
	return &b
}

func TestComponentsRestartForWhatIsTheirsInAnotherBundle(t *testing.T) {
	same := map[string]string{"containerd": "c1", "cni": "n1", "kubelet": "k1", "kube-proxy": "p1"}
	for name, test := range map[string]struct {
		changed map[string]string
		want    []string
	}{
		"nothing":               {nil, nil},
		"the kubelet":           {map[string]string{"kubelet": "k2"}, []string{"kubelet"}},
		"kube-proxy":            {map[string]string{"kube-proxy": "p2"}, []string{"kube-proxy"}},
		"containerd or runc":    {map[string]string{"containerd": "c2"}, []string{"containerd"}},
		"the plugins":           {map[string]string{"cni": "n2"}, []string{"containerd"}},
		"Kubernetes as a whole": {map[string]string{"kubelet": "k2", "kube-proxy": "p2"}, []string{"kube-proxy", "kubelet"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := localMachine()
			cfg.Bundle = bundleOf("0123", same)
			before := build(t, cfg)
			contents := maps.Clone(same)
			maps.Copy(contents, test.changed)
			cfg.Bundle = bundleOf("4567", contents)
			after := build(t, cfg)
			var restarted []string
			for i, p := range after.Processes {
				if p.Digest() != before.Processes[i].Digest() {
					restarted = append(restarted, p.Name)
				}
			}
			slices.Sort(restarted)
			if diff := cmp.Diff(test.want, restarted); diff != "" {
				t.Errorf("what restarts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatAnOlderAgentStartedGoesOnAsItIs(t *testing.T) {
	cfg := localMachine()
	cfg.Bundle = bundleOf("0123", map[string]string{"containerd": "c1", "cni": "n1", "kubelet": "k1", "kube-proxy": "p1"})
	old := cfg
	old.Bundle = cfg.Bundle.InPlace()
	before := map[string]string{}
	for _, p := range build(t, old).Processes {
		before[p.Name] = p.Digest()
	}
	delete(before, "kubelet") // which was started anew since
	cfg.InPlace = StartedInPlace(cfg, func(p supervise.Process) bool { return before[p.Name] == p.Digest() })
	plan := build(t, cfg)
	for _, p := range plan.Processes {
		if want, found := before[p.Name]; found && p.Digest() != want {
			t.Errorf("%s is not the one that runs: %+v", p.Name, p)
		}
		if p.Name == "kubelet" && !strings.HasPrefix(p.Path, "/var/lib/drover/bundles/parts/k1/") {
			t.Errorf("the kubelet is at %s, want the path of its content", p.Path)
		}
	}
	for _, f := range plan.Files {
		if strings.HasSuffix(f.Path, "containerd.toml") && bytes.Contains(f.Content, []byte("/parts/")) {
			t.Errorf("containerd goes on with another configuration than it was started with:\n%s", f.Content)
		}
	}
}

func build(t *testing.T, cfg Config) *Plan {
	t.Helper()
	plan, err := Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
