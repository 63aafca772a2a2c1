package gitops

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestActionsChangeOneFieldAndTakeItBack(t *testing.T) {
	for kind, c := range map[string]struct {
		running, stopped string
		field            string
		// always are the actions that are offered besides, whatever the object is like.
		always []string
	}{
		pool: {"healthy", "paused", "paused", []string{"refresh"}},
		host: {"available", "unschedulable", "unschedulable", nil},
	} {
		t.Run(kind, func(t *testing.T) {
			all := actionsOf(t, kind)
			offers := func(o *unstructured.Unstructured, pause, resume bool) {
				t.Helper()
				got, err := all.enabled(o)
				want := map[string]bool{"pause": pause, "resume": resume}
				for _, action := range c.always {
					want[action] = true
				}
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
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

// TestARefreshIsAskedForNow, and nothing else is changed, whether there were annotations or not.
func TestARefreshIsAskedForNow(t *testing.T) {
	const annotation = "fleet.drover.dev/refresh-at"
	for name, before := range map[string]map[string]string{"no annotations": nil, "another one": {"team": "web"}, "an earlier one": {annotation: "2020-01-01T00:00:00Z"}} {
		t.Run(name, func(t *testing.T) {
			o := object(t, pool, "healthy")
			o.SetAnnotations(before)
			after, err := actionsOf(t, pool).take("refresh", o)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, after.GetAnnotations()[annotation])
			if ago := time.Since(at); err != nil || ago < 0 || ago > time.Minute {
				t.Errorf("the annotations are %v (%v), want one with the time now", after.GetAnnotations(), err)
			}
			want := maps.Clone(before)
			delete(want, annotation)
			got := after.GetAnnotations()
			delete(got, annotation)
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("other annotations (-want +got):\n%s", diff)
			}
			o.SetAnnotations(nil)
			after.SetAnnotations(nil)
			if diff := cmp.Diff(o.Object, after.Object); diff != "" {
				t.Errorf("all else (-want +got):\n%s", diff)
			}
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
