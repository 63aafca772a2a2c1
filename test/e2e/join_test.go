package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// A join that goes well is nothing to warn of, is told once for each machine, and can be followed step by step. The pool's
// name is the longest there can be.
func TestAHealthyJoinWarnsOfNothingAndTellsItsSteps(t *testing.T) {
	pool := world.newPool(t, "e2e-"+strings.Repeat("long-", 11)+"name", 2)
	world.awaitPool(t, pool.Name, 2)
	eventually(t, podsDeadline, "each agent has told the steps of its joining", func(context.Context) error {
		var wrong error
		for _, agent := range agentsOf(t, pool.Name) {
			if err := toldItsSteps(&agent); err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %w", agent.Name, err))
			}
		}
		return wrong
	})
	var events eventsv1.EventList
	if err := world.List(t.Context(), &events, client.InNamespace(pool.Namespace)); err != nil {
		t.Fatal(err)
	}
	joined := map[string]int{}
	for _, event := range events.Items {
		if event.Regarding.UID != pool.UID {
			continue
		}
		if event.Type == corev1.EventTypeWarning {
			t.Errorf("the pool was warned: %s: %s", event.Reason, event.Note)
		}
		if event.Reason == fleetv1.ReasonJoined && event.Related != nil {
			joined[event.Related.Name]++
		}
	}
	for name, times := range joined {
		if times != 1 {
			t.Errorf("%s joined %d times", name, times)
		}
	}
	if len(joined) != 2 {
		t.Errorf("the machines that joined are %v", joined)
	}
}
