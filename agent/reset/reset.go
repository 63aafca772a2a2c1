package reset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Options say what to reset.
type Options struct {
	// StateDir and RunDir are those of the agent.
	StateDir, RunDir string
	// Paths are the components'.
	Paths component.Paths
	// CgroupRoot is the cgroup that pods are under, see host.Facts.
	CgroupRoot string
	// Out gets a line for each thing removed.
	Out io.Writer
}

// stopTimeout bounds each of the waits for pods and processes to end.
const stopTimeout = time.Minute

// Run resets the machine. It goes on after a step that failed, and returns all failures.
func Run(ctx context.Context, o Options) error {
	r := &resetter{Options: o}
	if !r.present() {
		r.say("Nothing to reset: no agent has been at work here (%s does not exist)", o.StateDir)
		return nil
	}
	var errs []error
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"stop the service", r.stopService},
		{"stop the agent", r.stopAgent},
		{"stop the kubelet", func(ctx context.Context) error { return r.stopProcess(ctx, v1alpha1.ComponentKubelet) }},
		{"remove the pods", r.removePods},
		{"stop the components", r.stopComponents},
		{"unmount", r.unmount},
		{"remove the pod network", r.removeNetwork},
		{"remove the cgroups", r.removeCgroups},
		{"remove the files", r.removeFiles},
	} {
		if err := step.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, errors.New("run reset again when this is mended"))...)
	}
	return r.remove(o.StateDir)
}

type resetter struct {
	Options
}

func (r *resetter) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.Out, format+"\n", args...)
}

func (r *resetter) present() bool {
	for _, dir := range []string{r.StateDir, r.RunDir} {
		if _, err := os.Lstat(dir); err == nil {
			return true
		}
	}
	return false
}

func (r *resetter) stopComponents(ctx context.Context) error {
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

// removeFiles removes what the components left. What the infrastructure provider put on the machine stays.
func (r *resetter) removeFiles(context.Context) error {
	var errs []error
	for _, path := range []string{
		r.Paths.KubeletDir, r.Paths.ContainerdRoot, r.Paths.ContainerdState, r.Paths.ConfigDir, r.Paths.LogDir,
		filepath.Join(r.Paths.CNIConfDir, "10-drover.conflist"), "/var/lib/cni/results", r.RunDir,
	} {
		errs = append(errs, r.remove(path))
	}
	return errors.Join(errs...)
}

// remove deletes a file or a tree on one filesystem: a mount below it is somebody's data, not ours to delete.
func (r *resetter) remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if below, err := mountsBelow(path); err != nil || len(below) > 0 {
		return errors.Join(err, fmt.Errorf("%s is kept: something is mounted on %v", path, below))
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	r.say("Removed %s", path)
	return nil
}
