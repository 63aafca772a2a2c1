package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/hack/bench/table"
)

// running measures nodes that run: how soon pods do, and what happens when a component is killed.
func (b *bench) running(ctx context.Context, say func(string)) (err error) {
	drover, err := b.newDrover(ctx, "running")
	if err != nil {
		return err
	}
	peer, err := b.newRawNode(ctx, "raw-running")
	if err != nil {
		return err
	}
	if err := b.pods(ctx, say, drover.name, peer.name); err != nil {
		return err
	}
	if err := b.kills(ctx, say, drover); err != nil {
		return err
	}
	if err := b.restartedAgent(ctx, say, drover); err != nil {
		return err
	}
	return errors.Join(peer.remove(ctx), drover.remove(ctx))
}

// pods measures from a pod's creation to its being Running, in turns on each node. The first on each brings the image.
func (b *bench) pods(ctx context.Context, say func(string), drover, peer string) error {
	samples := map[string][]time.Duration{}
	for i := range b.podRuns + 1 {
		say(fmt.Sprintf("pod %d of %d on each node", i, b.podRuns))
		for _, node := range []string{drover, peer} {
			took, err := b.pod(ctx, fmt.Sprintf("bench-%s-%d", node, i), node)
			if err != nil {
				return err
			}
			if i > 0 {
				samples[node] = append(samples[node], took)
			}
		}
	}
	b.add(table.Row{Measure: "Pod created → Running, image present, p50", Unit: table.Seconds, Budget: 1.1, Ratio: true,
		Ours: table.Durations(samples[drover]), Peer: table.Durations(samples[peer])})
	return nil
}

// podOn is a pod for a node, without the scheduler.
func (b *bench) podOn(node, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			NodeName:                      node,
			TerminationGracePeriodSeconds: ptr.To[int64](0),
			Containers:                    []corev1.Container{{Name: "hello", Image: b.hello}},
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		},
	}
}

// pod starts one pod on the node, and removes it again.
func (b *bench) pod(ctx context.Context, name, node string) (time.Duration, error) {
	pod := b.podOn(node, name)
	start := time.Now()
	if err := b.client.Create(ctx, pod); err != nil {
		return 0, fmt.Errorf("create the pod %s: %w", name, err)
	}
	at, err := b.await(ctx, "the pod "+name+" to run", &corev1.PodList{}, func(o client.Object) bool {
		p, ok := o.(*corev1.Pod)
		return ok && p.Status.Phase == corev1.PodRunning
	}, client.InNamespace(namespace), named(name))
	if err != nil {
		return 0, err
	}
	if err := b.client.Delete(ctx, pod); err != nil {
		return 0, fmt.Errorf("delete the pod %s: %w", name, err)
	}
	return at.Sub(start), wait(ctx, settle/4)
}
