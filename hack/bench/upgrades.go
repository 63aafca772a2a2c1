package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/bench/table"
	"github.com/drover-dev/drover/hack/dev/install"
)

const upgradeRuns = 3

// versions are what nodes are upgraded from, and the one that is gone back from. They are upgraded to the sample's.
type versions struct{ patch, minor, broken string }

// upgrades measures a node that is given another version: in place, drained, and one whose kubelet does not work.
func (b *bench) upgrades(ctx context.Context, say func(string)) error {
	for _, version := range []string{b.from.patch, b.from.minor, b.from.broken} {
		objects, err := install.File(filepath.Join(b.Layout.Samples(), "nodebundle-"+version+".yaml"))
		if err != nil {
			return fmt.Errorf("find the bundle of %s: %w", version, err)
		}
		if err := install.Apply(ctx, b.client, objects); err != nil {
			return err
		}
	}
	var inPlace, away, drained, back []time.Duration
	for run := range upgradeRuns {
		say(fmt.Sprintf("%d of %d", run+1, upgradeRuns))
		for _, once := range []func(context.Context, string) error{
			func(ctx context.Context, name string) error {
				took, unready, err := b.upgradeInPlace(ctx, name+"-patch")
				inPlace, away = append(inPlace, took), append(away, unready)
				return err
			},
			func(ctx context.Context, name string) error {
				took, err := b.upgradeDrained(ctx, name+"-minor")
				drained = append(drained, took)
				return err
			},
			func(ctx context.Context, name string) error {
				took, err := b.rollBack(ctx, name+"-broken")
				back = append(back, took)
				return err
			},
		} {
			if err := once(ctx, fmt.Sprintf("upgrade-%d", run)); err != nil {
				return err
			}
		}
	}
	b.add(table.Row{Measure: fmt.Sprintf("Upgrade %s → %s in place, bundle on disk: Node not Ready", b.from.patch, b.version), Unit: table.Seconds, Budget: 3, Worst: true, Ours: table.Durations(away)})
	b.add(table.Row{Measure: "… edit of the pool → the Node is Ready with the new kubelet, its container the same", Unit: table.Seconds, Ours: table.Durations(inPlace)})
	b.add(table.Row{Measure: fmt.Sprintf("Upgrade %s → %s of an empty node: cordoned, its probation included", b.from.minor, b.version), Unit: table.Seconds, Budget: 10 + generation.HoldFor.Seconds(), Worst: true, Ours: table.Durations(drained)})
	b.add(table.Row{Measure: "Edit of the pool to a kubelet that ends at once → rolled back, the Node Ready", Unit: table.Seconds, Budget: 30, Worst: true, Ours: table.Durations(back)})
	return nil
}

// upgradeInPlace upgrades a node with a pod on it, and returns how long it took and for how much of that the Node was not Ready. That
// the pod's container goes on is no figure: where it does not, something broke.
func (b *bench) upgradeInPlace(ctx context.Context, name string) (took, away time.Duration, err error) {
	pool, node, err := b.poolToUpgrade(ctx, name, b.from.patch)
	if err != nil {
		return 0, 0, err
	}
	pod, err := b.holdPod(ctx, node)
	if err != nil {
		return 0, 0, err
	}
	before := pod.Status.ContainerStatuses[0].ContainerID
	unready, err := b.watchReadiness(ctx, node)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	at, err := b.change(ctx, pool, node, b.version, func(n *corev1.Node) bool { return isReady(n) && n.Status.NodeInfo.KubeletVersion == b.version })
	if err == nil {
		err = wait(ctx, settle) // a kubelet that starts may say once more that it is not Ready
	}
	away = unready()
	if err == nil {
		err = b.client.Get(ctx, client.ObjectKeyFromObject(pod), pod)
	}
	if err != nil {
		return 0, 0, err
	}
	if now := pod.Status.ContainerStatuses[0].ContainerID; now != before {
		return 0, 0, fmt.Errorf("the upgrade of %s ended the container %s: now it is %s", node, before, now)
	}
	return at.Sub(start), away, errors.Join(b.client.Delete(ctx, pod), b.deletePool(ctx, pool))
}

// upgradeDrained upgrades a node that nothing runs on, so that its drain takes no time, and returns for how long it was cordoned.
func (b *bench) upgradeDrained(ctx context.Context, name string) (time.Duration, error) {
	pool, node, err := b.poolToUpgrade(ctx, name, b.from.minor)
	if err != nil {
		return 0, err
	}
	cordoned, err := b.change(ctx, pool, node, b.version, func(n *corev1.Node) bool { return n.Spec.Unschedulable })
	if err != nil {
		return 0, err
	}
	at, err := b.awaitNode(ctx, node, "to be uncordoned", func(n *corev1.Node) bool {
		return !n.Spec.Unschedulable && isReady(n) && n.Status.NodeInfo.KubeletVersion == b.version
	})
	if err != nil {
		return 0, err
	}
	return at.Sub(cordoned), b.deletePool(ctx, pool)
}

// rollBack gives a node a kubelet that ends at once, and returns how long it took until the Node was Ready with the one before.
func (b *bench) rollBack(ctx context.Context, name string) (time.Duration, error) {
	pool, node, err := b.poolToUpgrade(ctx, name, b.version)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if _, err := b.change(ctx, pool, node, b.from.broken, func(*corev1.Node) bool { return true }); err != nil {
		return 0, err
	}
	if _, err := b.await(ctx, "the rollback of "+node, &v1alpha1.NodeAgentList{}, func(o client.Object) bool {
		agent, ok := o.(*v1alpha1.NodeAgent)
		return ok && agent.Status.Phase == v1alpha1.PhaseRolledBack && componentOf(agent, v1alpha1.ComponentKubelet).State == v1alpha1.ComponentRunning
	}, named(node)); err != nil {
		return 0, err
	}
	at, err := b.awaitNode(ctx, node, "to be Ready", func(n *corev1.Node) bool { return isReady(n) && n.Status.NodeInfo.KubeletVersion == b.version })
	if err != nil {
		return 0, err
	}
	return at.Sub(start), b.deletePool(ctx, pool)
}

// restartedAgent ends a node's agent, and measures how soon its status is current again: it tells of kube-proxy, which is ended while no
// agent is there to see.
func (b *bench) restartedAgent(ctx context.Context, say func(string), n *node) error {
	say("kills the agent")
	before, err := n.processes()
	if err != nil {
		return err
	}
	agent, err := pidOf(before, agentProcess)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := syscall.Kill(agent, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the agent, which is process %d: %w", agent, err)
	}
	between := time.Since(start)
	told, _, err := b.kill(ctx, n, v1alpha1.ComponentKubeProxy)
	if err != nil {
		return err
	}
	after, err := n.processes()
	if err != nil {
		return err
	}
	for _, component := range []string{v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet} {
		if before[component] != after[component] {
			return fmt.Errorf("with the agent %s ended: it was process %d and is %d", component, before[component], after[component])
		}
	}
	b.add(table.Row{Measure: "SIGKILL the agent, and then kube-proxy → its status tells, no other process restarted", Unit: table.Milliseconds, Budget: 1, Worst: true, Ours: table.Durations([]time.Duration{between + told})})
	return nil
}

// poolToUpgrade is a pool of one node of a version.
func (b *bench) poolToUpgrade(ctx context.Context, name, version string) (*v1alpha1.NodePool, string, error) {
	pool, err := b.createPoolOfVersion(ctx, "LocalMachineTemplate", template, name, version, 1)
	if err != nil {
		return nil, "", err
	}
	names, _, err := b.nodesOf(ctx, name, 1)
	if err != nil {
		return nil, "", err
	}
	// What has not proved itself is not gone back to.
	if _, err := b.await(ctx, "what "+names[0]+" runs to prove itself", &v1alpha1.NodeAgentList{}, func(o client.Object) bool {
		agent, ok := o.(*v1alpha1.NodeAgent)
		return ok && agent.Status.Phase == v1alpha1.PhaseCommitted
	}, named(names[0])); err != nil {
		return nil, "", err
	}
	return pool, names[0], wait(ctx, settle)
}

// change edits the pool's version, and waits for what is asked of its Node.
func (b *bench) change(ctx context.Context, pool *v1alpha1.NodePool, node, version string, done func(*corev1.Node) bool) (time.Time, error) {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"spec":{"version":%q}}}}`, version)
	if err := b.client.Patch(ctx, pool, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return time.Time{}, fmt.Errorf("edit the pool %s: %w", pool.Name, err)
	}
	return b.awaitNode(ctx, node, "to be changed to "+version, done)
}

func (b *bench) awaitNode(ctx context.Context, name, what string, done func(*corev1.Node) bool) (time.Time, error) {
	return b.await(ctx, "Node "+name+" "+what, &corev1.NodeList{}, func(o client.Object) bool {
		node, ok := o.(*corev1.Node)
		return ok && done(node)
	}, named(name))
}

// holdPod starts a pod on the node that runs until it is deleted.
func (b *bench) holdPod(ctx context.Context, node string) (*corev1.Pod, error) {
	pod := b.podOn(node, "bench-"+node)
	if err := b.client.Create(ctx, pod); err != nil {
		return nil, fmt.Errorf("create the pod %s: %w", pod.Name, err)
	}
	_, err := b.await(ctx, "the pod "+pod.Name+" to run", &corev1.PodList{}, func(o client.Object) bool {
		p, ok := o.(*corev1.Pod)
		if !ok || p.Status.Phase != corev1.PodRunning || len(p.Status.ContainerStatuses) == 0 {
			return false
		}
		pod = p
		return true
	}, client.InNamespace(namespace), named(pod.Name))
	return pod, err
}

// watchReadiness watches a Node until the function that it returns is called, which says for how long it was not Ready.
func (b *bench) watchReadiness(ctx context.Context, name string) (unready func() time.Duration, err error) {
	watcher, err := b.client.Watch(ctx, &corev1.NodeList{}, named(name))
	if err != nil {
		return nil, fmt.Errorf("watch the Node %s: %w", name, err)
	}
	ended := make(chan time.Duration, 1)
	go func() {
		var since *time.Time
		var away time.Duration
		for event := range watcher.ResultChan() {
			node, ok := event.Object.(*corev1.Node)
			switch now := time.Now(); {
			case !ok:
			case isReady(node) && since != nil:
				away, since = away+now.Sub(*since), nil
			case !isReady(node) && since == nil:
				since = ptr.To(now)
			}
		}
		if since != nil {
			away += time.Since(*since)
		}
		ended <- away
	}()
	return func() time.Duration {
		watcher.Stop()
		return <-ended
	}, nil
}
