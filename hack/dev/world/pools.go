package world

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// poolsTimeout bounds the wait for pools to be deleted in an orderly way. What is left is ended without ceremony.
	poolsTimeout = 45 * time.Second
	// poolsPatience is how long that takes as a rule. A pool that takes longer is quoted.
	poolsPatience = 10 * time.Second
)

// deletePools deletes every NodePool and waits until none is left.
func (w *World) deletePools(ctx context.Context, say func(string)) error {
	c, err := w.Client()
	if err != nil {
		return err
	}
	return deletePools(ctx, c, say, w.Progress.Note)
}

// deletePools notes why pools are not gone when that takes long, each time that they say something new. If they do not go in
// time, its error is what they said last.
func deletePools(ctx context.Context, c client.Client, say, note func(string)) error {
	limited, cancel := context.WithTimeout(ctx, poolsTimeout)
	defer cancel()
	start, why := time.Now(), ""
	err := wait.PollUntilContextCancel(limited, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		pools, err := deletedPools(ctx, c)
		if err != nil || len(pools) == 0 {
			return err == nil, err
		}
		say("waits for " + strings.Join(names(pools), ", "))
		if now := explanation(pools); now != why && time.Since(start) >= poolsPatience {
			why = now
			note(why)
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && why != "" {
		return fmt.Errorf("after %s: %s", poolsTimeout, why)
	}
	return err
}

// deletedPools are the NodePools that there are still. Each has been told to go.
func deletedPools(ctx context.Context, c client.Client) ([]unstructured.Unstructured, error) {
	pools := &unstructured.UnstructuredList{}
	pools.SetGroupVersionKind(schema.GroupVersionKind{Group: "fleet.drover.dev", Version: "v1alpha1", Kind: "NodePoolList"})
	if err := c.List(ctx, pools); meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for i := range pools.Items {
		if pool := &pools.Items[i]; pool.GetDeletionTimestamp().IsZero() {
			if err := c.Delete(ctx, pool); client.IgnoreNotFound(err) != nil {
				return nil, err
			}
		}
	}
	return pools.Items, nil
}

func names(pools []unstructured.Unstructured) []string {
	var names []string
	for i := range pools {
		names = append(names, client.ObjectKeyFromObject(&pools[i]).String())
	}
	return names
}

// explanation is what pools say of themselves: what they wait for, with what the first of their machines says, and the
// disruption budgets that hold a drain.
func explanation(pools []unstructured.Unstructured) string {
	var lines []string
	for i, name := range names(pools) {
		conditions, _, _ := unstructured.NestedSlice(pools[i].Object, "status", "conditions")
		for _, item := range conditions {
			c, _ := item.(map[string]any)
			message, _ := c["message"].(string)
			if message != "" && (c["type"] == "Ready" && c["status"] != "True" || c["type"] == "DrainBlocked") {
				lines = append(lines, name+": "+strings.TrimSuffix(message, ".")+".")
			}
		}
	}
	return strings.Join(lines, " ")
}
