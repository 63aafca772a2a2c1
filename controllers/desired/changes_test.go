package desired

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
)

type answers struct {
	server string
	err    error
}

func (a *answers) Discover(context.Context) (v1alpha1.ClusterSettings, error) {
	return v1alpha1.ClusterSettings{Server: a.server}, a.err
}

func (a *answers) Update(ctx context.Context, _ v1alpha1.ClusterSettings) (v1alpha1.ClusterSettings, error) {
	return a.Discover(ctx)
}

func TestThoseConcernedAreLookedAtOnceForEachChange(t *testing.T) {
	facts := &answers{server: "https://a"}
	var lost error
	w := &watcher{facts: facts, affected: func(context.Context) ([]reconcile.Request, error) {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "node"}}}, lost
	}}
	want := func(when string, want int) {
		t.Helper()
		got := 0
		w.look(t.Context(), func(reconcile.Request) { got++ })
		if got != want {
			t.Errorf("%s: looked at %d, want %d", when, got, want)
		}
	}
	want("at the start", 1)
	want("nothing changed", 0)
	facts.server, facts.err = "", errors.New("no server")
	want("nothing is known", 0)
	facts.server, facts.err = "https://a", nil
	want("it is known again, and the same", 0)
	facts.server, lost = "https://b", errors.New("the cache is down")
	want("it is not known whom it concerns", 0)
	lost = nil
	want("it is", 1)
	want("nothing changed since", 0)
}
