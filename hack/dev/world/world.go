package world

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/hack/dev/journal"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/process"
	"github.com/drover-dev/drover/hack/dev/progress"
)

// World is the development world of one checkout.
type World struct {
	Layout   layout.Layout
	Progress *progress.Printer
	// APIServerFlags are given to kube-apiserver beside the usual ones.
	APIServerFlags []string

	journal *journal.Journal
}

// Open reads what is recorded of the world. Until release is called, nobody else can open it.
func Open(l layout.Layout, p *progress.Printer) (w *World, release func(), err error) {
	if err := os.MkdirAll(l.Root(), 0o755); err != nil {
		return nil, nil, fmt.Errorf("make the folder of the development world: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(l.Root(), "world.lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("lock the development world: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, nil, fmt.Errorf("another `make demo` or `make down` of this checkout is at work: wait for it to end")
	}
	j, err := journal.Open(l.Journal())
	if err != nil {
		_ = lock.Close()
		return nil, nil, err
	}
	j.KeepCopy(layout.HostRecord, l.Root())
	return &World{Layout: l, Progress: p, journal: j}, func() { _ = lock.Close() }, nil
}

// State is what the record and the processes together say.
type State string

// The states of a world.
const (
	// Absent: nothing was started, or all of it was removed.
	Absent State = "absent"
	// Running: every process runs.
	Running State = "running"
	// Broken: some of it is there.
	Broken State = "broken"
)

// StateOf tells the state of the world from its record and which of its processes are alive.
func StateOf(j *journal.Journal, alive func(process.ID) bool) State {
	if !j.Exists() {
		return Absent
	}
	if !j.Complete {
		return Broken
	}
	for _, e := range j.Of(journal.Process) {
		if !restartable(e.Name) && !alive(idOf(e)) {
			return Broken
		}
	}
	return Running
}

// State is the world's.
func (w *World) State() State { return StateOf(w.journal, process.Alive) }

// Config connects as administrator.
func (w *World) Config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", w.Layout.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the administrator's kubeconfig: %w", err)
	}
	config.QPS = -1 // no limit: one client, on one host
	return config, nil
}

// Client connects as administrator.
func (w *World) Client() (client.Client, error) {
	config, err := w.Config()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return c, nil
}

func idOf(e journal.Entry) process.ID { return process.ID{PID: e.PID, StartTime: e.StartTime} }
