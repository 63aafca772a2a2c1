package infra

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestAPublishedSecretBringsItsMachineBackOfWhateverKind(t *testing.T) {
	published := &Published{}
	name := types.NamespacedName{Namespace: "default", Name: "m"}
	published.Tell(name) // nobody listens yet
	var queues []workqueue.TypedRateLimitingInterface[reconcile.Request]
	for range 2 {
		queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
		t.Cleanup(queue.ShutDown)
		if err := published.start(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		queues = append(queues, queue)
	}
	published.Tell(name)
	for _, queue := range queues {
		if queue.Len() != 1 {
			t.Fatalf("a queue has %d requests, want one", queue.Len())
		}
		if got, _ := queue.Get(); got != (ctrl.Request{NamespacedName: name}) {
			t.Errorf("got %v", got)
		}
	}
}
