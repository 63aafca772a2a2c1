package component

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClaim(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		files  []string
		known  bool
		others []string
		marked []string
	}{
		"fresh":              {reason: "nobody is here", marked: []string{"kubelet", "root", "state"}},
		"empty file systems": {reason: "a file system of its own is no sign of use", files: []string{"kubelet/lost+found", "root/lost+found"}, marked: []string{"kubelet", "root", "state"}},
		"kubeadm":            {reason: "its kubelet would be taken for ours", files: []string{"kubelet/config.yaml"}, others: []string{"kubelet"}},
		"docker":             {reason: "its containerd would be", files: []string{"root/x", "state/containerd.sock"}, others: []string{"root", "state"}},
		"claimed before":     {reason: "an agent that was killed goes on", files: []string{"kubelet/.drover", "kubelet/pki", "root/.drover", "root/x"}, marked: []string{"kubelet", "root", "state"}},
		"of an agent before": {reason: "it set no markers", known: true, files: []string{"kubelet/pki", "root/x", "state/containerd.sock"}, marked: []string{"kubelet", "root", "state"}},
		"after a reboot":     {reason: "the passing state is made anew", known: true, files: []string{"kubelet/.drover", "kubelet/pki", "root/.drover", "root/x"}, marked: []string{"kubelet", "root", "state"}},
		"docker came afterwards": {reason: "a socket that came since then is not ours", known: true, files: []string{"kubelet/.drover", "root/.drover", "state/containerd.sock"},
			others: []string{"state"}, marked: []string{"kubelet", "root"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range c.files {
				path := filepath.Join(dir, f)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p := Paths{KubeletDir: dir + "/kubelet", ContainerdRoot: dir + "/root", ContainerdState: dir + "/state"}
			found, err := p.Claim(c.known)
			if err != nil {
				t.Fatal(err)
			}
			var others, marked []string
			for _, o := range found {
				others = append(others, filepath.Base(o))
			}
			for _, claim := range p.claims() {
				if Claimed(claim.dir) {
					marked = append(marked, filepath.Base(claim.dir))
				}
			}
			if diff := cmp.Diff(c.others, others); diff != "" {
				t.Errorf("%s: others' (-want +got):\n%s", c.reason, diff)
			}
			if diff := cmp.Diff(c.marked, marked); diff != "" {
				t.Errorf("%s: marked (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestComponentsHaveCgroupsOfTheirOwnWhereSystemdHasOneForThem(t *testing.T) {
	c := Config{}
	if got := c.cgroup("kubelet"); got != "" {
		t.Errorf("got %s, want the agent's own", got)
	}
	c.Facts.ComponentCgroup = "/drover.slice/drover-node.service"
	if got := c.cgroup("kubelet"); got != "/sys/fs/cgroup/drover.slice/drover-node.service/kubelet" {
		t.Errorf("got %s", got)
	}
}
