package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/procfs"
)

// footprint is what a machine has on its host while it runs. It is read off the kernel, beginning at the machine's init,
// and not put together from the names that the manager gives.
type footprint struct {
	machine client.ObjectKey
	dir     string
	// processes are init and all that come from it, containers' too: process ID to start time.
	processes  map[int]uint64
	namespaces []string
	cgroups    []string
	// link is the index of the host's end of the machine's interface.
	link int
}

// footprint looks at a machine that runs, and fails when it lacks anything that a machine has.
func (w *World) footprint(t *testing.T, machine *clusterv1.Machine) *footprint {
	t.Helper()
	key := client.ObjectKeyFromObject(machine)
	init := w.localPID(t, key)
	proc := fmt.Sprintf("/proc/%d", init)
	f := &footprint{
		machine: key, dir: filepath.Join(w.Root, ".drover", "machines", key.Namespace, key.Name), processes: must[map[int]uint64](t)(family(init)),
		namespaces: must[[]string](t)(ownNamespaces(proc)), cgroups: must[[]string](t)(ownCgroups(proc, key.Name)),
	}
	index := strings.TrimSpace(string(must[[]byte](t)(os.ReadFile(proc + "/root/sys/class/net/eth0/iflink"))))
	f.link = must[int](t)(strconv.Atoi(index))
	if link, err := netlink.LinkByIndex(f.link); err != nil || link.Type() != "veth" {
		t.Fatalf("%s: the host's end of its interface is %v: %v", key, link, err)
	}
	mounts := string(must[[]byte](t)(os.ReadFile(proc + "/mountinfo")))
	if !strings.Contains(mounts, "upperdir="+f.dir) || len(f.processes) < 2 || len(f.namespaces) < 5 || len(f.cgroups) == 0 {
		t.Fatalf("%s is no whole machine: %+v with the mounts\n%s", key, f, mounts)
	}
	return f
}

// remains says what is left of the machine on its host.
func (f *footprint) remains() error {
	var left []string
	for pid, started := range f.processes {
		if now, err := procfs.ReadStat(pid); err == nil && now.StartTime == started {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		pinned := m.FSType == "nsfs" && slices.Contains(f.namespaces, m.Root)
		return !pinned && !strings.Contains(m.Root+" "+m.Mountpoint+" "+m.VFSOptions, f.dir), false
	})
	for _, m := range mounts {
		left = append(left, "mount "+m.Mountpoint)
	}
	for _, path := range append(f.cgroups, f.dir) {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			left = append(left, path)
		}
	}
	if link, err := netlink.LinkByIndex(f.link); !errors.As(err, &netlink.LinkNotFoundError{}) {
		left = append(left, fmt.Sprintf("link %d: %v, %v", f.link, link, err))
	}
	return errors.Join(err, unless(len(left) == 0, "on the host are left: %s", strings.Join(left, ", ")))
}

// awaitNoMachine waits until nothing is left of a machine, neither in the API nor on the host.
func (w *World) awaitNoMachine(t *testing.T, f *footprint) {
	t.Helper()
	namespace, name := f.machine.Namespace, f.machine.Name
	eventually(t, nodesDeadline, "nothing is left of "+name, func(ctx context.Context) error {
		for _, object := range []client.Object{
			&clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}},
			&fleetv1.LocalMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}},
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + fleetv1.BootstrapSecretSuffix}},
			&fleetv1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: name}},
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}},
		} {
			if err := w.Get(ctx, client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%T %s: %w", object, object.GetName(), orStill(err))
			}
		}
		return f.remains()
	})
}

// family is a process with its children, theirs and so on. Orphans of a PID namespace are its init's children.
func family(root int) (map[int]uint64, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children, started := map[int][]int{}, map[int]uint64{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		stat, err := procfs.ReadStat(pid)
		if err != nil {
			continue // it has ended
		}
		children[stat.Parent], started[pid] = append(children[stat.Parent], pid), stat.StartTime
	}
	found := map[int]uint64{}
	for next := []int{root}; len(next) > 0; next = next[1:] {
		found[next[0]] = started[next[0]]
		next = append(next, children[next[0]]...)
	}
	return found, nil
}

// ownNamespaces are a process's namespaces that are not this one's too, as nsfs(5) spells them.
func ownNamespaces(proc string) (own []string, err error) {
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "uts"} {
		its, err := os.Readlink(filepath.Join(proc, "ns", kind))
		if err != nil {
			return nil, err
		}
		if ours, err := os.Readlink("/proc/self/ns/" + kind); err != nil || its != ours {
			own = append(own, its)
		}
	}
	return own, nil
}

// ownCgroups are the directories, one in each hierarchy, of the cgroup called name that a process is in.
func ownCgroups(proc, name string) (own []string, err error) {
	lines, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return nil, err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(lines)) {
		// As in 4:memory:/parent/name/child, and on version 2 0::/parent/name/child.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		parent, _, found := strings.Cut(parts[2]+"/", "/"+name+"/")
		for _, m := range mounts {
			if found && (parts[0] == "0" && m.FSType == "cgroup2" || parts[0] != "0" && slices.Contains(strings.Split(m.VFSOptions, ","), parts[1])) {
				own = append(own, filepath.Join(m.Mountpoint, parent, name))
			}
		}
	}
	return own, nil
}
