package desired

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// SameInfrastructure says whether machines of two revisions are made from the same: from the template of one name, with one
// content. One template that nobody wrote in between has one content, whatever defaults a newer provider shows in it. A
// revision that an earlier Drover stored says nothing of the content, which so counts as the same.
func SameInfrastructure(a, b *appsv1.ControllerRevision) bool {
	same := func(annotation string) bool { return a.Annotations[annotation] == b.Annotations[annotation] }
	known := func(r *appsv1.ControllerRevision) bool {
		return r.Annotations[v1alpha1.InfrastructureHashAnnotation] != ""
	}
	if !same(v1alpha1.InfrastructureAnnotation) {
		return false
	}
	return !known(a) || !known(b) || same(v1alpha1.InfrastructureHashAnnotation) || same(v1alpha1.InfrastructureObjectAnnotation)
}
