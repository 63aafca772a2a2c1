package app

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// TestTheFleetIsStopped by the ConfigMap of the installation, which the manager may read by its own role.
func TestTheFleetIsStopped(t *testing.T) {
	server := apiserver.Shared(t)
	startGarbageCollector(t)
	startProvider(t, server)
	user := ownConfig(t, server)
	install(t, server, "../../../config/namespace/stop.yaml")
	end := startManager(t, user)
	pool := createPool(t, server.Client, server.Namespace(t), 2)
	waitReady(t, server.Client, pool, 2)

	annotate := func(annotations map[string]string) {
		t.Helper()
		thrown := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ownNamespace, Name: v1alpha1.StopName}}
		if err := server.Client.Get(t.Context(), client.ObjectKeyFromObject(thrown), thrown); err != nil {
			t.Fatal(err)
		}
		thrown.Annotations = annotations
		if err := server.Client.Update(t.Context(), thrown); err != nil {
			t.Fatal(err)
		}
	}
	waitFor := func(what string, is func() bool) {
		t.Helper()
		err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			return is(), server.Client.Get(ctx, client.ObjectKeyFromObject(pool), pool)
		})
		if err != nil {
			t.Fatalf("%s: %v: %+v", what, err, pool.Status)
		}
	}
	held := func(n int32) func() bool {
		return func() bool {
			d := pool.Status.Disruption
			return d != nil && len(d.Deferred) == 1 && d.Deferred[0].Reason == v1alpha1.ReasonFleetStopped && d.Deferred[0].Count == n
		}
	}
	annotate(map[string]string{v1alpha1.StopAnnotation: "a fire"})
	waitFor("the pool is suspended", func() bool { return meta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.SuspendedCondition) })
	scale(t, server.Client, pool, 1)
	waitFor("one machine waits", held(1))
	end()
	startManager(t, user)
	scale(t, server.Client, pool, 0)
	waitFor("two machines wait under the next manager", held(2))
	annotate(nil)
	waitReady(t, server.Client, pool, 0)
	if err := server.Client.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	waitGone(t, server.Client, pool)
}
