package raw

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/agent/component"
	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/images"
	"github.com/drover-dev/drover/agent/kernel"
	"github.com/drover-dev/drover/agent/network"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// socketEvery is how often containerd's socket is looked for.
const socketEvery = 10 * time.Millisecond

// Run is the machine's only service: it puts the files in place, then starts the three, and ends when ctx does. The
// clock starts after the files, as if somebody had put them there before.
func Run(ctx context.Context) error {
	d, err := readDocument(node.BootstrapPath)
	if err != nil {
		return err
	}
	plan, b, err := d.prepare(ctx)
	if err != nil {
		return err
	}
	processes := map[string]supervise.Process{}
	for _, p := range plan.Processes {
		processes[p.Name] = p
	}
	if err := noteStart(); err != nil {
		return err
	}
	if err := start(processes[v1alpha1.ComponentContainerd]); err != nil {
		return err
	}
	socket := component.DefaultPaths().Socket()
	for _, err := os.Stat(socket); err != nil; _, err = os.Stat(socket) {
		time.Sleep(socketEvery)
	}
	if err := start(processes[v1alpha1.ComponentKubeProxy]); err != nil {
		return err
	}
	// The last of a flag's values counts.
	if err := start(processes[v1alpha1.ComponentKubelet], "--bootstrap-kubeconfig="+bootstrapKubeconfig); err != nil {
		return err
	}
	for images.ImportDir(ctx, socket, b.ImagesDir()) != nil && ctx.Err() == nil {
		time.Sleep(time.Second)
	}
	<-ctx.Done()
	return nil
}

const bootstrapKubeconfig = node.StateDir + "/raw-bootstrap.kubeconfig"

// prepare does what the agent does before it starts anything.
func (d *Document) prepare(ctx context.Context) (*component.Plan, *bundle.Bundle, error) {
	system := host.NewSystem()
	facts, err := system.Gather(ctx, host.GatherOptions{Server: d.Spec.Cluster.Server, StateDir: node.StateDir})
	if err != nil {
		return nil, nil, err
	}
	if err := kernel.Of(system, "").PrepareCgroups(facts); err != nil {
		return nil, nil, err
	}
	b, err := d.bundle(ctx)
	if err != nil {
		return nil, nil, err
	}
	plan, err := component.Build(component.Config{
		NodeName: d.NodeName, Spec: d.Spec, Facts: facts, Bundle: b, PodCIDRs: []string{d.PodCIDR.String()},
	})
	if err != nil {
		return nil, nil, err
	}
	conflist, err := network.Conflist([]netip.Prefix{d.PodCIDR}, facts.MTU)
	if err != nil {
		return nil, nil, err
	}
	paths := component.DefaultPaths()
	plan.Files = append(plan.Files,
		component.File{Path: filepath.Join(paths.CNIConfDir, network.ConflistName), Content: conflist, Mode: 0o644},
		component.File{Path: bootstrapKubeconfig, Content: d.BootstrapKubeconfig, Mode: 0o600},
		component.File{Path: paths.AgentKubeconfig, Content: d.ProxyKubeconfig, Mode: 0o600})
	return plan, b, plan.WriteFiles()
}

func (d *Document) bundle(ctx context.Context) (*bundle.Bundle, error) {
	store := &bundle.Store{Root: filepath.Join(node.StateDir, "bundles"), Shared: []string{node.SharedBundlesDir}, Log: logr.Discard()}
	for _, a := range d.Spec.Artifacts {
		if a.Architecture == runtime.GOARCH {
			return store.Ensure(ctx, a.Image)
		}
	}
	return nil, fmt.Errorf("the raw machine's spec has no artifact for %s", runtime.GOARCH)
}

// noteStart writes the time to StartPath.
func noteStart() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	return os.WriteFile(StartPath, []byte(strconv.FormatInt(now.Nano(), 10)), 0o644)
}

func start(p supervise.Process, args ...string) error {
	if err := os.MkdirAll(filepath.Dir(p.LogFile), 0o755); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	log, err := os.OpenFile(p.LogFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.Path, append(p.Args, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.Env, log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	return nil
}
