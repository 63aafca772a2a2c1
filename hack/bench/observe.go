package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patience bounds every wait for a local node.
const patience = 2 * time.Minute

// await returns when an object, in a list or watched, is as asked for, with the time when this was known.
func (b *bench) await(ctx context.Context, what string, list client.ObjectList, done func(client.Object) bool, opts ...client.ListOption) (time.Time, error) {
	return b.awaitWithin(ctx, patience, what, list, done, opts...)
}

func (b *bench) awaitWithin(ctx context.Context, limit time.Duration, what string, list client.ObjectList, done func(client.Object) bool, opts ...client.ListOption) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		at, err := b.watchOnce(ctx, list, done, opts...)
		switch {
		case err == nil:
			return at, nil
		case ctx.Err() != nil:
			return at, fmt.Errorf("wait %s for %s: %w", limit, what, ctx.Err())
		case !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err):
			return at, fmt.Errorf("wait for %s: %w", what, err)
		}
	}
}

func (b *bench) watchOnce(ctx context.Context, list client.ObjectList, done func(client.Object) bool, opts ...client.ListOption) (time.Time, error) {
	if err := b.client.List(ctx, list, opts...); err != nil {
		return time.Time{}, err
	}
	now, found := time.Now(), false
	if err := meta.EachListItem(list, func(o runtime.Object) error {
		if object, ok := o.(client.Object); ok && done(object) {
			found = true
		}
		return nil
	}); err != nil || found {
		return now, err
	}
	watcher, err := b.client.Watch(ctx, list, append(opts, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})...)
	if err != nil {
		return now, err
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		now = time.Now()
		if event.Type == watch.Error {
			return now, apierrors.FromObject(event.Object)
		}
		if object, ok := event.Object.(client.Object); ok && event.Type != watch.Deleted && done(object) {
			return now, nil
		}
	}
	return now, apierrors.NewResourceExpired("the watch ended")
}

// named selects one object.
func named(name string) client.ListOption {
	return client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", name)}
}

// awaitReady waits for the Node to be Ready and says when it was.
func (b *bench) awaitReady(ctx context.Context, name string) (time.Time, error) {
	return b.await(ctx, "Node "+name+" to be Ready", &corev1.NodeList{}, isReady, named(name))
}

func (b *bench) ready(ctx context.Context, name string) (bool, error) {
	node := &corev1.Node{}
	if err := b.client.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		return false, fmt.Errorf("read the Node %s: %w", name, err)
	}
	return isReady(node), nil
}

func isReady(o client.Object) bool {
	node, ok := o.(*corev1.Node)
	if !ok {
		return false
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// notReady writes into the Node that it is not Ready, so that its kubelet has to say that it is.
func (b *bench) notReady(ctx context.Context, name string) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":"False","reason":"Benchmark","message":"is about to be started again","lastTransitionTime":%q}]}}`,
		time.Now().UTC().Format(time.RFC3339))
	if err := b.client.Status().Patch(ctx, node, client.RawPatch("application/strategic-merge-patch+json", []byte(patch))); err != nil {
		return fmt.Errorf("make the Node %s not Ready: %w", name, err)
	}
	return nil
}
