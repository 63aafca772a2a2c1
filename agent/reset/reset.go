package reset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/drover-dev/drover/agent/baseline"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/kernel"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Options say what to reset.
type Options struct {
	// Root goes before the paths that no other option has. Default: none.
	Root string
	// StateDir and RunDir are those of the agent.
	StateDir, RunDir string
	// Paths are the components'.
	Paths component.Paths
	// CgroupRoot is the cgroup that pods are under, see host.Facts.
	CgroupRoot string
	// NetnsDir has the network namespaces of pods, as mounts named cni-*. Default: /run/netns.
	NetnsDir string
	// Leftovers are what the components leave outside of their own directories. Default: DefaultLeftovers.
	Leftovers []string
	// Out gets a line for each thing removed.
	Out io.Writer
}

// DefaultLeftovers are what the components leave on a node.
var DefaultLeftovers = []string{"/var/lib/cni/results", "/var/log/pods", "/var/log/containers"}

// stopTimeout bounds each of the waits for a pod and for processes to end.
const stopTimeout = time.Minute

// Run resets the machine. Nothing is touched while an agent runs, and none can start meanwhile. It goes on after a step
// that failed, and returns all failures.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	r := &resetter{Options: o}
	there, err := r.present()
	if err != nil {
		return fmt.Errorf("look for an agent: %w", err)
	}
	if err := r.marksReadable(); err != nil {
		return err
	}
	if !there {
		r.say("Nothing to reset: no agent has been at work here (%s does not exist)", o.StateDir)
		return nil
	}
	if err := r.stopService(ctx); err != nil {
		return fmt.Errorf("stop the service: %w", err)
	}
	lock, err := r.lock(ctx, service.LockForReset)
	if err != nil {
		return fmt.Errorf("stop the agent: %w", err)
	}
	defer func() { _ = lock.Close() }()
	var errs []error
	if r.before, err = r.recorder().Load(); err != nil {
		errs = append(errs, err)
	}
	ours := r.isOurs(r.Paths.KubeletDir)
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"stop the kubelet", func(ctx context.Context) error { return r.stopProcess(ctx, v1alpha1.ComponentKubelet) }},
		{"remove the pods", func(ctx context.Context) error { return r.removePods(ctx, stopTimeout) }},
		{"stop the components", r.stopComponents},
		{"end what is left of the pods", r.killPods},
		{"take it out of systemd's hands", r.removeService},
		{"end the pods' slices", r.endPodSlices},
		{"unmount", r.unmount},
		{"remove the pod network", r.removeNetwork},
		{"remove the cgroups", r.removeCgroups},
		{"give back what was before", r.restore},
		{"remove the files", r.removeFiles},
		{"remove empty directories", r.removeDirectories},
	} {
		if err := step.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, errors.New("run reset again when this is mended"))...)
	}
	for _, dir := range append(r.claimed(), o.StateDir, o.RunDir) {
		errs = append(errs, r.remove(dir))
	}
	left, err := r.left(ours)
	if len(left) > 0 {
		errs = append(errs, fmt.Errorf("left on this machine: %s", strings.Join(left, ", ")))
	}
	if err = errors.Join(append(errs, err)...); err == nil {
		r.say("Nothing of Drover is left")
	}
	return err
}

func (o Options) withDefaults() Options {
	if o.NetnsDir == "" {
		o.NetnsDir = "/run/netns"
	}
	if o.Leftovers == nil {
		o.Leftovers = DefaultLeftovers
	}
	return o
}

type resetter struct {
	Options
	before baseline.Baseline
}

func (r *resetter) recorder() baseline.Recorder {
	return baseline.Recorder{Root: r.Root, StateDir: r.StateDir, RunDir: r.RunDir}
}

func (r *resetter) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.Out, format+"\n", args...)
}

// claimed are the directories of containerd and the kubelet that the agent marked as its own. Those without its mark are
// another container runtime's or kubelet's.
func (r *resetter) claimed() []string {
	return slices.DeleteFunc(r.shared(), func(dir string) bool { return !r.isOurs(dir) })
}

// shared are the directories that are somebody else's unless they are marked.
func (r *resetter) shared() []string {
	return []string{r.Paths.KubeletDir, r.Paths.ContainerdState, r.Paths.ContainerdRoot}
}

// marksReadable fails where nobody can say whose a directory is, as on a disk that fails.
func (r *resetter) marksReadable() error {
	for _, dir := range r.shared() {
		if _, err := baseline.Exists(component.Marker(dir)); err != nil {
			return fmt.Errorf("look whose %s is: %w", dir, err)
		}
	}
	return nil
}

func (r *resetter) isOurs(dir string) bool { return component.Claimed(dir) }

func (r *resetter) present() (bool, error) {
	return isAnyThere(r.StateDir, r.RunDir, service.UnitPath, r.Root+node.BootstrapPath)
}

func (r *resetter) stopComponents(ctx context.Context) error {
	if records, err := matches(filepath.Join(r.RunDir, "processes"), "*.json"); err != nil || len(records) == 0 {
		return err
	}
	processes, err := supervise.New(supervise.Options{RunDir: r.RunDir})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := processes.StopAll(ctx); err != nil {
		return err
	}
	r.say("Stopped containerd and kube-proxy")
	return nil
}

// removeFiles removes what the agent and the components left, the bootstrap document included, whoever put it there: it is
// nobody else's, and may have a token in it. The marks of the directories that have one stay: by them another reset knows
// the directories if this one has to be run again.
func (r *resetter) removeFiles(context.Context) error {
	paths, err := matches(r.RunDir, "*")
	cutShort, unread := matches(r.Root+filepath.Dir(node.BootstrapPath), "."+filepath.Base(node.BootstrapPath)+".*")
	paths = slices.DeleteFunc(paths, func(path string) bool {
		return slices.Contains([]string{service.LockName, baseline.FileName, kernel.OwnedName}, filepath.Base(path))
	})
	paths = append(append(paths, cutShort...), r.Root+node.BootstrapPath, r.Paths.ConfigDir, r.Paths.LogDir, filepath.Join(r.Paths.CNIConfDir, network.ConflistName))
	if r.isOurs(r.Paths.KubeletDir) {
		paths = append(paths, r.Leftovers...)
	}
	errs := []error{err, unread}
	for _, path := range paths {
		errs = append(errs, r.remove(path))
	}
	for _, dir := range r.claimed() {
		mounts, err := mountsAt(dir)
		if err == nil {
			err = empty(dir, append(mounts, component.Marker(dir)))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// remove deletes a file or a tree. What is mounted in it is somebody's, not ours to delete, and stays with the
// directories above it.
func (r *resetter) remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	mounts, err := mountsAt(path)
	switch {
	case err != nil:
		return err
	case len(mounts) > 0:
		r.say("Kept %s, where something of others is mounted: %s", path, strings.Join(mounts, ", "))
		return empty(path, mounts)
	}
	if err := removeAll(path); err != nil {
		return err
	}
	r.say("Removed %s", path)
	return nil
}

// empty deletes what is in a directory, but for what is to be kept and the directories above that.
func empty(dir string, kept []string) error {
	entries, err := os.ReadDir(dir)
	errs := []error{err}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch {
		case slices.Contains(kept, path):
		case slices.ContainsFunc(kept, func(k string) bool { return strings.HasPrefix(k, path+"/") }):
			errs = append(errs, empty(path, kept))
		default:
			errs = append(errs, removeAll(path))
		}
	}
	return errors.Join(errs...)
}
