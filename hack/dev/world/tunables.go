package world

import (
	"errors"
	"io/fs"
	"strconv"

	"github.com/drover-dev/drover/hack/dev/hostnet"
	"github.com/drover-dev/drover/hack/dev/journal"
)

type tunable struct{ name, set string }

// tunables are the kernel parameters that a kubelet sets when it starts (setupKernelTunables in k8s.io/kubernetes
// pkg/kubelet/cm), and to what: a local machine has its host's. All others that nodes set are of their own network
// namespaces.
func tunables() []tunable {
	return []tunable{
		{"vm.overcommit_memory", "1"},
		{"vm.panic_on_oom", "0"},
		{"kernel.panic", "10"},
		{"kernel.panic_on_oops", "1"},
		{"kernel.keys.root_maxkeys", "1000000"},
		{"kernel.keys.root_maxbytes", "25000000"},
	}
}

// inotifyInstances is how many the programs of all machines may have together: they are of one user of one kernel, and a node has
// ten. A stock kernel's 128 are spent by a dozen nodes, whose containerd and kube-proxy then end as soon as they are started.
const inotifyInstances = 1024

// raiseInotify makes room for them, where there is less.
func (w *World) raiseInotify() error {
	const name = "fs.inotify.max_user_instances"
	now, err := hostnet.Sysctl(name)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(now); err == nil && n >= inotifyInstances {
		return nil
	}
	return w.set(name, strconv.Itoa(inotifyInstances))
}

// recordTunables notes those that kubelets are going to change.
func (w *World) recordTunables() error {
	for _, t := range tunables() {
		former, err := hostnet.Sysctl(t.name)
		if errors.Is(err, fs.ErrNotExist) || former == t.set {
			continue
		}
		if err != nil {
			return err
		}
		if err := w.journal.Record(journal.Entry{Kind: journal.Sysctl, Name: t.name, Former: former, Set: t.set}); err != nil {
			return err
		}
	}
	return nil
}
