package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	waiting "k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/local/machine"
	"github.com/drover-dev/drover/hack/bench/proc"
	"github.com/drover-dev/drover/internal/procfs"
)

const (
	namespace    = "default"
	template     = "small"
	agentProcess = "drover-agent run"
	pollEvery    = 5 * time.Millisecond
)

// createPool makes a NodePool of the sample's kind of machine.
func (b *bench) createPool(ctx context.Context, name string, replicas int32) (*v1alpha1.NodePool, error) {
	return b.createPoolOf(ctx, "LocalMachineTemplate", template, name, replicas)
}

func (b *bench) createPoolOf(ctx context.Context, kind, template, name string, replicas int32) (*v1alpha1.NodePool, error) {
	return b.createPoolOfVersion(ctx, kind, template, name, b.version, replicas)
}

func (b *bench) createPoolOfVersion(ctx context.Context, kind, template, name, version string, replicas int32) (*v1alpha1.NodePool, error) {
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	pool.Spec.Replicas = ptr.To(replicas)
	pool.Spec.Template.Spec.Version = version
	pool.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{
		APIGroup: v1alpha1.GroupVersion.Group, Kind: kind, Name: template,
	}
	if err := b.client.Create(ctx, pool); err != nil {
		return nil, fmt.Errorf("create the NodePool %s: %w", name, err)
	}
	return pool, nil
}

// nodesOf waits until as many Nodes of the pool are Ready, and returns their names and when that was.
func (b *bench) nodesOf(ctx context.Context, pool string, count int) ([]string, time.Time, error) {
	return b.nodesWithin(ctx, patience, pool, count)
}

func (b *bench) nodesWithin(ctx context.Context, limit time.Duration, pool string, count int) ([]string, time.Time, error) {
	ready := map[string]bool{}
	at, err := b.awaitWithin(ctx, limit, fmt.Sprintf("%d Ready Nodes of the pool %s", count, pool), &corev1.NodeList{}, func(o client.Object) bool {
		if strings.HasPrefix(o.GetName(), pool+"-") {
			ready[o.GetName()] = isReady(o)
		}
		n := 0
		for _, r := range ready {
			if r {
				n++
			}
		}
		return n == count
	})
	var names []string
	for name := range ready {
		names = append(names, name)
	}
	return names, at, err
}

// deletePool deletes it and waits until nothing of its machines is left.
func (b *bench) deletePool(ctx context.Context, pool *v1alpha1.NodePool) error {
	return b.deletePoolWithin(ctx, patience, pool)
}

func (b *bench) deletePoolWithin(ctx context.Context, limit time.Duration, pool *v1alpha1.NodePool) error {
	if err := b.client.Delete(ctx, pool); err != nil {
		return fmt.Errorf("delete the NodePool %s: %w", pool.Name, err)
	}
	err := waiting.PollUntilContextTimeout(ctx, 100*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		err := b.client.Get(ctx, client.ObjectKeyFromObject(pool), pool)
		return client.IgnoreNotFound(err) == nil && err != nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("wait for the NodePool %s to be gone: %w", pool.Name, err)
	}
	return nil
}

// machineRecord is the part of the local provider's record of a machine that is read here.
type machineRecord struct {
	Boots   int              `json:"boots"`
	Process *machine.Process `json:"process"`
}

func (b *bench) machine(name string) (machineRecord, error) {
	m := machineRecord{}
	data, err := os.ReadFile(b.Layout.Path("machines", namespace, name, "record.json"))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && m.Process == nil {
		err = errors.New("it was never started")
	}
	if err != nil {
		return m, fmt.Errorf("look up the machine %s: %w", name, err)
	}
	return m, nil
}

// processes are those on Drover's machine, by name.
func (b *bench) processes(name string) (map[string]int, error) {
	m, err := b.machine(name)
	if err != nil {
		return nil, err
	}
	return proc.Below(m.Process.PID)
}

// sinceAgent is the time from the start of the machine's agent to then.
func (b *bench) sinceAgent(name string, then time.Time) (time.Duration, error) {
	found, err := b.processes(name)
	if err != nil {
		return 0, err
	}
	stat, err := procfs.ReadStat(found[agentProcess])
	if err != nil {
		return 0, err
	}
	return since(stat.SinceBoot(), then)
}

// since is the time from start, which is on the host's clock since its boot, to then.
func since(start time.Duration, then time.Time) (time.Duration, error) {
	now, err := proc.SinceBoot()
	return now - start - time.Since(then), err
}

// reboot ends Drover's machine as a power cut would, less the disk, and waits until its manager has started it again.
func (b *bench) reboot(ctx context.Context, name string) error {
	before, err := b.machine(name)
	if err != nil {
		return err
	}
	machines := &machine.Machines{Root: b.Layout.Machines(), Host: machine.LinuxHost{}}
	if err := machines.Reboot(ctx, types.NamespacedName{Namespace: namespace, Name: name}); err != nil {
		return err
	}
	return waiting.PollUntilContextTimeout(ctx, pollEvery, patience, true, func(context.Context) (bool, error) {
		now, err := b.machine(name)
		return err == nil && now.Boots > before.Boots, nil
	})
}
