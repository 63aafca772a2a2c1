package desired_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
)

func TestSameInfrastructure(t *testing.T) {
	of := func(ref, hash, object string) *appsv1.ControllerRevision {
		annotations := map[string]string{v1alpha1.InfrastructureAnnotation: ref}
		if hash != "" {
			annotations[v1alpha1.InfrastructureHashAnnotation], annotations[v1alpha1.InfrastructureObjectAnnotation] = hash, object
		}
		return &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}}
	}
	for _, test := range []struct {
		reason string
		other  *appsv1.ControllerRevision
		want   bool
	}{
		{"nothing changed", of("small", "h1", "u1/1"), true},
		{"another template", of("large", "h1", "u1/1"), false},
		{"made anew with the same content", of("small", "h1", "u2/1"), true},
		{"made anew with another content", of("small", "h2", "u2/1"), false},
		{"edited", of("small", "h2", "u1/2"), false},
		{"not written, and shown with another default", of("small", "h2", "u1/1"), true},
		{"of an earlier Drover, which took no content down", of("small", "", ""), true},
		{"of an earlier Drover, and another template", of("large", "", ""), false},
	} {
		if got := desired.SameInfrastructure(of("small", "h1", "u1/1"), test.other); got != test.want {
			t.Errorf("%s: got %v, want %v", test.reason, got, test.want)
		}
		if got := desired.SameInfrastructure(test.other, of("small", "h1", "u1/1")); got != test.want {
			t.Errorf("%s, the other way round: got %v, want %v", test.reason, got, test.want)
		}
	}
}
