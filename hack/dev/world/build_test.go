package world

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-dev/drover/hack/dev/layout"
)

// The preflight check says to run make build for what is missing, so make must find out as well.
func TestMakeBuildsWhatIsMissing(t *testing.T) {
	tests := map[string]struct {
		reason  string
		removed func(layout.Layout) string
		want    []string
	}{
		"nothing": {
			reason: "Stamps save the minutes that Go takes to find out.",
		},
		"a program": {
			reason:  "A stamp alone is no etcd.",
			removed: func(l layout.Layout) string { return l.Bin(Etcd) },
			want:    []string{"'Build etcd'"},
		},
		"one of several names": {
			reason:  "Each is a link to the one program.",
			removed: func(l layout.Layout) string { return l.Bin(Scheduler) },
			want:    []string{"\"Build Kubernetes' control plane\""},
		},
		"the artifacts": {
			reason:  "They are made of programs that are there.",
			removed: layout.Layout.Digests,
			want:    []string{"'Make the node bundle and the images'"},
		},
		"all programs": {
			reason:  "Somebody removed the folder and left the stamps.",
			removed: func(l layout.Layout) string { return l.Bin() },
			want:    []string{"\"Build Kubernetes' control plane\"", "'Build etcd'", "'Build runc'", "'Build CoreDNS'", "'Build kubelet and kube-proxy'"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := layout.Layout{Repository: t.TempDir()}
			pretendBuilt(t, l)
			if tc.removed != nil {
				if err := os.RemoveAll(tc.removed(l)); err != nil {
					t.Fatal(err)
				}
			}
			plan := plannedSteps(t, l)
			for _, want := range tc.want {
				if !strings.Contains(plan, want) {
					t.Errorf("make does not plan %s: %s\n%s", want, tc.reason, plan)
				}
			}
			if len(tc.want) == 0 && plan != "" {
				t.Errorf("make plans %s\nwant nothing: %s", plan, tc.reason)
			}
		})
	}
}

// pretendBuilt makes the files of a build, with nothing in them; the stamps are the youngest.
func pretendBuilt(t *testing.T, l layout.Layout) {
	t.Helper()
	files := []string{l.Path("tools", "artifacts"), l.Digests()}
	for _, name := range strings.Fields("controlplane kube-apiserver kube-controller-manager kube-scheduler kubectl node kubelet kube-proxy " +
		"etcd containerd containerd-shim-runc-v2 ctr bridge loopback host-local portmap runc coredns pause hello") {
		files = append(files, l.Bin(name))
	}
	for _, name := range strings.Fields("controlplane node etcd containerd cni runc coredns pause artifacts") {
		files = append(files, l.Path("stamps", name))
	}
	for _, file := range files {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// plannedSteps are those that make would do beside the ones where Go decides.
func plannedSteps(t *testing.T, l layout.Layout) string {
	t.Helper()
	cmd := exec.Command("make", "--dry-run", "-C", "../../..", "upstream", "artifacts", "DROVER="+l.Root())
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKEOVERRIDES=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make: %v\n%s", err, out)
	}
	var steps []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "hack/step.sh ") && !strings.Contains(line, "'Build drover-agent'") {
			steps = append(steps, line)
		}
	}
	return strings.Join(steps, "")
}
