package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/hack/dev/install"
)

const pollInterval = 100 * time.Millisecond

var (
	poolKey  = client.ObjectKey{Namespace: "default", Name: "workers"}
	poolKind = schema.GroupVersionKind{Group: "fleet.drover.dev", Version: "v1alpha1", Kind: "NodePool"}
)

// waitError is a wait that took too long, with the last that was known.
type waitError struct {
	what, last string
	limit      time.Duration
}

// Error says what was waited for.
func (e *waitError) Error() string {
	return fmt.Sprintf("%s was not ready after %s: %s", e.what, e.limit, e.last)
}

// await polls until state says done; its detail is shown while it does not.
func await(ctx context.Context, what string, limit time.Duration, say func(string), state func(context.Context) (detail string, done bool, err error)) error {
	var detail string
	err := wait.PollUntilContextTimeout(ctx, pollInterval, limit, true, func(ctx context.Context) (done bool, err error) {
		if detail, done, err = state(ctx); err == nil && !done {
			say(detail)
		}
		return done, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return &waitError{what: what, last: detail, limit: limit}
	}
	if err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}

func (d *demo) awaitPool(ctx context.Context, say func(string)) error {
	pool := &unstructured.Unstructured{}
	pool.SetGroupVersionKind(poolKind)
	return await(ctx, "the pool "+poolKey.String(), poolTimeout, say, func(ctx context.Context) (string, bool, error) {
		if err := d.client.Get(ctx, poolKey, pool); err != nil {
			return "", false, err
		}
		detail, done := poolState(pool)
		return detail, done, nil
	})
}

// poolState tells whether the manager has seen the pool as it is and says it is ready, else why not.
func poolState(pool *unstructured.Unstructured) (detail string, done bool) {
	observed, _, _ := unstructured.NestedInt64(pool.Object, "status", "observedGeneration")
	if observed < pool.GetGeneration() {
		return "the manager has not seen it yet", false
	}
	if status, message := install.Condition(pool, "Stalled"); status == "True" {
		return message, false
	}
	status, message := install.Condition(pool, "Ready")
	return message, status == "True"
}

func (d *demo) awaitDeployment(ctx context.Context, key client.ObjectKey, say func(string)) error {
	return await(ctx, "the Deployment "+key.String(), deploymentTimeout, say, func(ctx context.Context) (string, bool, error) {
		var deployment appsv1.Deployment
		if err := d.client.Get(ctx, key, &deployment); err != nil {
			return "", false, err
		}
		detail, done := deploymentState(&deployment)
		return detail, done, nil
	})
}

// deploymentState tells whether all replicas wanted, and none of an older template, are available.
func deploymentState(deployment *appsv1.Deployment) (detail string, done bool) {
	wanted, s := *deployment.Spec.Replicas, deployment.Status
	done = s.ObservedGeneration >= deployment.Generation && s.Replicas == wanted && s.UpdatedReplicas == wanted && s.AvailableReplicas == wanted
	return fmt.Sprintf("%d of %d pods available", s.AvailableReplicas, wanted), done
}
