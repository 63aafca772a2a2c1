// Package baseline takes down what a machine was like before the agent came, so that its reset gives back that machine:
// what the agent and its components made goes, and what was there before stays.
//
// What outlives a boot is in the state directory, taken down once. What does not is in the run directory, taken down at
// each boot before the agent changes anything.
package baseline

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// Trees are what the components make outside of their own directories, each with all that is in it.
var Trees = []string{
	"/etc/systemd/logind.conf.d/99-kubelet.conf", "/usr/libexec/kubernetes", "/var/lib/cni", "/run/nri",
	"/opt/nri", "/etc/nri", "/run/xtables.lock", "/var/log/pods", "/var/log/containers",
}

// Directories are those that the components make and that others may use as well, the inner before the outer: they go when
// nothing is left in them.
var Directories = []string{
	"/run/netns", "/etc/cni/net.d", "/etc/cni", "/opt/cni/bin", "/opt/cni", "/opt/containerd/bin", "/opt/containerd/lib", "/opt/containerd", "/opt", "/usr/libexec",
	"/etc/systemd/logind.conf.d",
}

// AgentDirectories are those that the agent itself makes, before it has any component.
var AgentDirectories = []string{"/etc/systemd/networkd.conf.d", node.StaticPodDir, filepath.Dir(node.BootstrapPath)}

// sysctls are what the agent, the kubelet and kube-proxy set.
var sysctls = []string{
	"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/route_localnet",
	"fs/inotify/max_user_instances", "fs/inotify/max_user_watches",
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_tcp_timeout_established", "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
}

// Baseline is what a machine was like.
type Baseline struct {
	// Paths are those of Trees and of both kinds of directories that were there; nil when nobody took them down.
	Paths []string `json:"paths"`
	// Sysctls are the values of parameters, by their path below /proc/sys.
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// Tables are the nftables tables that were there, such as "ip filter"; nil when nobody took them down.
	Tables []string `json:"tables"`
}

// FileName is that of both files.
const FileName = "baseline.json"

// Recorder takes down the baseline of a machine.
type Recorder struct {
	// Root goes before the paths of the machine. Default: none.
	Root string
	// StateDir and RunDir are the agent's.
	StateDir, RunDir string
}

// Record takes down what was not taken down yet. It must come before what is changed.
func (r Recorder) Record() error {
	err := once(filepath.Join(r.StateDir, FileName), func() (b Baseline, err error) {
		b.Paths, err = r.paths()
		return b, err
	})
	if err != nil {
		return err
	}
	return once(filepath.Join(r.RunDir, FileName), func() (b Baseline, err error) {
		b.Tables = Tables()
		b.Sysctls, err = r.sysctls()
		return b, err
	})
}

// RecordLoaded takes down the kernel parameters that came with a module of the kernel's since Record, which nobody has set
// yet: the kernel's own values, to which they would be again at the next boot.
func (r Recorder) RecordLoaded() error {
	path := filepath.Join(r.RunDir, FileName)
	b, err := read(path)
	if err != nil {
		return err
	}
	if b.Sysctls == nil {
		b.Sysctls = map[string]string{}
	}
	values, err := r.sysctls()
	if err != nil {
		return fmt.Errorf("take down what the kernel's modules brought: %w", err)
	}
	for name, value := range values {
		if _, known := b.Sysctls[name]; !known {
			b.Sysctls[name] = value
		}
	}
	data, err := json.Marshal(b)
	if err == nil {
		_, err = atomicfile.WriteIfChanged(path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("take down what the kernel's modules brought: %w", err)
	}
	return nil
}

func once(path string, look func() (Baseline, error)) error {
	there, err := Exists(path)
	if there {
		return nil
	}
	var b Baseline
	if err == nil {
		b, err = look()
	}
	var data []byte
	if err == nil {
		data, err = json.Marshal(b)
	}
	if err == nil {
		err = atomicfile.Write(path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("take down what the machine was like: %w", err)
	}
	return nil
}

// Exists says whether a path names something, be it a link to nothing. That it cannot be looked at is an error: what is taken
// down as missing is deleted by the reset, and what the reset misses is called clean.
func Exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

func read(path string) (b Baseline, err error) {
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil {
		return b, fmt.Errorf("read what the machine was like: %w", err)
	}
	return b, nil
}

// Load is what was taken down; what was not is empty.
func (r Recorder) Load() (Baseline, error) {
	var b Baseline
	for _, dir := range []string{r.StateDir, r.RunDir} {
		part, err := read(filepath.Join(dir, FileName))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return b, err
		}
		if part.Paths != nil {
			b.Paths = part.Paths
		}
		if part.Tables != nil {
			b.Tables = part.Tables
		}
		if part.Sysctls != nil {
			b.Sysctls = part.Sysctls
		}
	}
	return b, nil
}

// Had says whether a path was there. Where nobody took that down it may have been.
func (b Baseline) Had(path string) bool { return b.Paths == nil || slices.Contains(b.Paths, path) }

// HadTable says the same of a table.
func (b Baseline) HadTable(table string) bool {
	return b.Tables == nil || slices.Contains(b.Tables, table)
}

func (r Recorder) paths() ([]string, error) {
	found := []string{}
	for _, path := range slices.Concat(Trees, Directories, AgentDirectories) {
		there, err := Exists(filepath.Join(r.Root, path))
		if err != nil {
			return nil, err
		}
		if there {
			found = append(found, path)
		}
	}
	return found, nil
}

// sysctls leaves out the parameters that this kernel has not, or shows to nobody here.
func (r Recorder) sysctls() (map[string]string, error) {
	values := map[string]string{}
	for _, name := range sysctls {
		data, err := os.ReadFile(filepath.Join(r.Root, "/proc/sys", name))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, err
		}
		values[name] = strings.TrimSpace(string(data))
	}
	return values, nil
}

// Tables are the nftables tables there are, iptables' among them; nil where they cannot be listed.
func Tables() []string {
	conn, err := nftables.New()
	if err != nil {
		return nil
	}
	tables, err := conn.ListTables()
	if err != nil {
		return nil
	}
	names := []string{}
	for _, t := range tables {
		names = append(names, TableName(t))
	}
	return names
}

// TableName is a table's name with its family, as nft writes them.
func TableName(t *nftables.Table) string {
	families := map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
		nftables.TableFamilyARP: "arp", nftables.TableFamilyBridge: "bridge", nftables.TableFamilyNetdev: "netdev",
	}
	return families[t.Family] + " " + t.Name
}
