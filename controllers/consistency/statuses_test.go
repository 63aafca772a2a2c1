package consistency

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestAStatusIsOursIfItIsTheLastThatWeWrote(t *testing.T) {
	var s Statuses[[]string]
	name := types.NamespacedName{Name: "a"}
	if s.IsOurs(name, nil) {
		t.Error("what was never written is ours")
	}
	s.Writes(name, []string{"first"})
	s.Writes(name, []string{"second"})
	if s.IsOurs(name, []string{"first"}) || !s.IsOurs(name, []string{"second"}) || s.IsOurs(types.NamespacedName{Name: "b"}, []string{"second"}) {
		t.Error("not the last status, and that alone, is ours")
	}
	s.Forget(name)
	if s.IsOurs(name, []string{"second"}) {
		t.Error("what was forgotten is ours")
	}
}
