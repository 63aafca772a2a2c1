package kernel

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/drover-dev/drover/agent/host"
)

// machine makes a fixture tree and the kernel of a machine over it.
func machine(t *testing.T, files map[string]string) *Kernel {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Kernel{Host: &host.System{Root: root}}
}

func with(base, more map[string]string) map[string]string {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

func without(files map[string]string, name string) map[string]string {
	rest := maps.Clone(files)
	delete(rest, name)
	return rest
}

var common = map[string]string{
	"proc/self/status":                            "CapEff:\t000001ffffffffff\n",
	"proc/filesystems":                            "nodev\tproc\nnodev\toverlay\n\text4\n",
	"proc/sys/fs/inotify/max_user_instances":      "8192\n",
	"proc/sys/net/ipv4/ip_forward":                "0\n",
	"proc/sys/net/netfilter/nf_conntrack_max":     "65536\n",
	"proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
}

// v1 is a machine with cgroup v1 whose agent is in a cgroup.
func v1(own string) map[string]string {
	files := map[string]string{"proc/self/cgroup": "", "proc/self/mountinfo": ""}
	for _, c := range []string{"cpu", "cpuset", "memory"} {
		files["sys/fs/cgroup/"+c+"/tasks"] = ""
		files["proc/self/cgroup"] += "3:" + c + ":" + own + "\n"
		files["proc/self/mountinfo"] += "32 31 0:29 / /sys/fs/cgroup/" + c + " rw - cgroup none rw," + c + "\n"
	}
	return files
}
