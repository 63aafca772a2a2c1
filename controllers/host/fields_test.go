package host

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/fields"
)

// TestNoFieldOfAHostThatGitMayHaveIsTheManagers, whatever becomes of it. Otherwise whoever applies it from Git would take the
// field back, or have a conflict.
func TestNoFieldOfAHostThatGitMayHaveIsTheManagers(t *testing.T) {
	s := newSite(t)
	s.box("a", func(h *v1alpha1.Host) {
		h.Spec.HostKeys, h.Spec.TrustOnFirstUse, h.Spec.Cleanup = nil, ptr.To(true), v1alpha1.HostCleanupManual
	})
	const manager = "drover-manager"
	test, managers := s.Server, *s.Server
	managers.Client = client.WithFieldOwner(test.Client, manager)
	s.Server = &managers
	s.hosts, s.machines = s.manager()
	s.Server = test

	s.serve("a", "m")
	claimed := fieldsOf(t, s.look("a"), manager)
	s.remove("m")
	s.make("m")
	s.look("a")
	released := fieldsOf(t, s.look("a"), manager)

	annotation := func(name string) string { return "/f:metadata/f:annotations/f:" + name }
	finalizer := `/f:metadata/f:finalizers/v:"` + v1alpha1.HostFinalizer + `"`
	for _, c := range []struct {
		when      string
		want, got []string
	}{
		{"while it is claimed", []string{annotation(v1alpha1.ClaimAnnotation), annotation(v1alpha1.HostKeyAnnotation), finalizer, "status"}, claimed},
		{"after its release", []string{annotation(v1alpha1.HostKeyAnnotation), annotation(v1alpha1.QuarantineAnnotation), "status"}, released},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s the manager has these fields (-want +got):\n%s", c.when, diff)
		}
	}
}

// fieldsOf are the fields of a Host that somebody has.
func fieldsOf(t *testing.T, h *v1alpha1.Host, manager string) []string {
	t.Helper()
	all, err := fields.Of(h)
	if err != nil {
		t.Fatal(err)
	}
	return all[manager]
}
