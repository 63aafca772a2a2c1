package gitops

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestActionsChangeOneFieldAndTakeItBack(t *testing.T) {
	for kind, c := range map[string]struct {
		running, stopped string
		field            string
	}{
		pool: {"healthy", "paused", "paused"},
		host: {"available", "unschedulable", "unschedulable"},
	} {
		t.Run(kind, func(t *testing.T) {
			all := actionsOf(t, kind)
			offers := func(o *unstructured.Unstructured, pause, resume bool) {
				t.Helper()
				got, err := all.enabled(o)
				if diff := cmp.Diff(map[string]bool{"pause": pause, "resume": resume}, got); err != nil || diff != "" {
					t.Errorf("what is offered (%v; -want +got):\n%s", err, diff)
				}
			}
			take := func(action string, o *unstructured.Unstructured) *unstructured.Unstructured {
				t.Helper()
				after, err := all.take(action, o)
				if err != nil {
					t.Fatal(err)
				}
				return after
			}
			is := func(what string, want, got *unstructured.Unstructured) {
				t.Helper()
				if diff := cmp.Diff(want.Object, got.Object); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}

			running := object(t, kind, c.running)
			offers(running, true, false)
			offers(object(t, kind, c.stopped), false, true)

			paused := running.DeepCopy()
			if err := unstructured.SetNestedField(paused.Object, true, "spec", c.field); err != nil {
				t.Fatal(err)
			}
			is("pausing changes nothing else", paused, take("pause", running))
			offers(paused, false, true)
			is("resuming makes it as it was", running, take("resume", paused))
		})
	}
}

// TestEachActionThatIsOfferedIsThere, and the other way round.
func TestEachActionThatIsOfferedIsThere(t *testing.T) {
	for _, kind := range []string{pool, host} {
		all := actionsOf(t, kind)
		offered, err := all.enabled(object(t, kind, "just-applied"))
		if err != nil {
			t.Fatal(err)
		}
		defined := map[string]bool{}
		for _, definition := range all.Definitions {
			defined[definition.Name] = true
		}
		for name := range offered {
			if !defined[name] {
				t.Errorf("%s: %s is offered and not defined", kind, name)
			}
			delete(defined, name)
		}
		for name := range defined {
			t.Errorf("%s: %s is defined and not offered", kind, name)
		}
	}
}
