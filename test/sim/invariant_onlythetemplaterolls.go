package sim

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// onlyTheTemplateRolls: a node is changed only to what the pool's template says, and only when that is another thing than it was told
// before.
var onlyTheTemplateRolls = &invariant{name: "only-the-template-rolls", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.by == nil || d.verb != tells {
			return nil
		}
		before, after := as[*v1alpha1.NodeAgent](d.before), as[*v1alpha1.NodeAgent](d.after)
		if equality.Semantic.DeepEqual(content(before), content(after)) {
			return fmt.Errorf("%s is told to run revision %s, which asks for what it was told before", d.name(), after.Spec.Revision)
		}
		if w.always(d.by, func(a asked) bool {
			spec := a.spec.Template.Spec
			return spec.Version != after.Spec.Version || !equality.Semantic.DeepEqual(spec.NodeSettings, after.Spec.NodeSettings)
		}) {
			return fmt.Errorf("%s is told to run %s, which is not what the pool's template says", d.name(), content(after))
		}
		return nil
	}
}}

func content(a *v1alpha1.NodeAgent) string {
	return fmt.Sprintf("%s, maxPods %d, %v", a.Spec.Version, ptr.Deref(a.Spec.Kubelet.MaxPods, 0), a.Spec.Artifacts)
}
