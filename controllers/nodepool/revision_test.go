package nodepool_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// revisions are the names of the namespace's revisions, as the API server has them.
func (s *site) revisions() map[string]*appsv1.ControllerRevision {
	s.t.Helper()
	list := &appsv1.ControllerRevisionList{}
	if err := s.Client.List(s.t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	found := map[string]*appsv1.ControllerRevision{}
	for i := range list.Items {
		found[list.Items[i].Labels[v1alpha1.RevisionLabel]] = &list.Items[i]
	}
	return found
}

// anew deletes an object and makes it again, changed.
func anew[T client.Object](s *site, object T, change func(T)) {
	s.t.Helper()
	if err := s.Client.Delete(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("it is gone", func() error {
		gone, ok := object.DeepCopyObject().(client.Object)
		if !ok {
			return errors.New("a copy of it is no object")
		}
		err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(object), gone)
		if !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is there"), err)
		}
		return nil
	})
	object.SetResourceVersion("")
	object.SetUID("")
	change(object)
	s.create(object)
}

// TestARevisionIsWhatItStandsFor and not what it is called: by a real API server, with its defaults and generations.
func TestARevisionIsWhatItStandsFor(t *testing.T) {
	s := newSite(t)
	s.startManager()
	pool := s.pool("workers", 1)
	s.create(pool)
	s.eventually("the pool gets its machine", func() error { return s.counts(1, 0) })
	var first string
	for first = range s.revisions() {
		if !strings.Contains(s.revisions()[first].Annotations[v1alpha1.TemplateHashAnnotation], ":") {
			t.Error("its hash says not how it was made")
		}
	}
	// Each step makes one more machine, so that what it is made from is seen.
	replicas := int32(1)
	grow := func(what string) string {
		t.Helper()
		replicas++
		update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To(replicas) })
		s.eventually(what, func() error { return s.counts(int(replicas), 0) })
		newest := ""
		for _, m := range s.machines() {
			if m.Name == v1alpha1.MachineName(pool, int64(replicas-1)) {
				newest = m.Labels[v1alpha1.RevisionLabel]
			}
		}
		return newest
	}

	b := bundle(s.version, s.version)
	anew(s, b, func(b *v1alpha1.NodeBundle) {
		b.Spec.Artifacts[0].Image = "mirror.example/kubernetes@sha256:" + strings.Repeat("ab", 32)
		b.Spec.Artifacts = append(b.Spec.Artifacts, v1alpha1.Artifact{Architecture: "arm64", Image: "mirror.example/kubernetes@sha256:" + strings.Repeat("cd", 32)})
	})
	s.eventually("the other architecture is taken down", func() error {
		if text := s.revisions()[first].Annotations[v1alpha1.ArtifactsAnnotation]; !strings.Contains(text, "arm64") || strings.Contains(text, "amd64") {
			return fmt.Errorf("it has %q", text)
		}
		return nil
	})
	if got := grow("a machine is made of the moved bundle"); got != first || len(s.revisions()) != 1 {
		t.Errorf("with the bundle in another registry and for another architecture revision %s became %s", first, got)
	}
	anew(s, b, func(b *v1alpha1.NodeBundle) {
		b.Spec.Artifacts[1].Image = "mirror.example/kubernetes@sha256:" + strings.Repeat("ef", 32)
	})
	second := grow("a machine is made of the other bundle")
	if second == first {
		t.Error("another digest for an architecture that came later is the same revision")
	}

	template := &v1alpha1.LocalMachineTemplate{}
	if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: s.template}, template); err != nil {
		t.Fatal(err)
	}
	anew(s, template, func(*v1alpha1.LocalMachineTemplate) {})
	if got := grow("a machine is made from the template made anew"); got != second {
		t.Errorf("with the infrastructure template made anew as it was revision %s became %s", second, got)
	}
	anew(s, template, func(l *v1alpha1.LocalMachineTemplate) { l.Spec.Template.Spec.CPUs = ptr.To[int32](3) })
	third := grow("a machine is made from the other template")
	if third == second {
		t.Error("an infrastructure template made anew otherwise under its name is the same revision")
	}
	a, b2 := s.revisions()[second].Annotations, s.revisions()[third].Annotations
	if a[v1alpha1.InfrastructureAnnotation] != b2[v1alpha1.InfrastructureAnnotation] || a[v1alpha1.InfrastructureHashAnnotation] == b2[v1alpha1.InfrastructureHashAnnotation] {
		t.Errorf("the two say of their infrastructure %v and %v", a, b2)
	}
}

// TestAnUpgradeOfDroverKeepsTheRevision that an earlier one stored, with facts of the cluster in it and the hash of its time.
func TestAnUpgradeOfDroverKeepsTheRevision(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 2)
	pool.Finalizers = []string{v1alpha1.NodePoolFinalizer}
	s.create(pool)
	raw, err := json.Marshal(v1alpha1.NodeAgentSpec{
		Revision: "0123456789", Version: s.version, Artifacts: bundle("", "").Spec.Artifacts, NodeSettings: pool.Spec.Template.Spec.NodeSettings,
		Cluster: v1alpha1.ClusterSettings{Server: "https://old:6443", ServerCA: "old", ClientCA: "old"},
	})
	if err != nil {
		t.Fatal(err)
	}
	earlier := &appsv1.ControllerRevision{Revision: 1}
	earlier.Namespace, earlier.Name = s.namespace, v1alpha1.RevisionName(pool.Name, "0123456789")
	earlier.Labels = map[string]string{v1alpha1.PoolLabel: pool.Name, v1alpha1.PoolUIDLabel: string(pool.UID), v1alpha1.RevisionLabel: "0123456789"}
	earlier.Annotations = map[string]string{
		v1alpha1.TemplateHashAnnotation:   earlierHash(t, pool, bundle("", "").Spec.Artifacts),
		v1alpha1.InfrastructureAnnotation: `{"apiGroup":"fleet.drover.dev","kind":"LocalMachineTemplate","name":"small"}`,
	}
	earlier.Data.Raw = raw
	s.create(earlier)
	s.startManager()
	s.eventually("the pool gets its machines", func() error { return s.counts(2, 0) })
	for _, m := range s.machines() {
		if got := m.Labels[v1alpha1.RevisionLabel]; got != "0123456789" {
			t.Errorf("machine %s is of revision %s", m.Name, got)
		}
	}
	if now := s.revisions(); len(now) != 1 || now["0123456789"].Annotations[v1alpha1.InfrastructureHashAnnotation] == "" {
		t.Errorf("there are %v, want the one, with what its infrastructure template is", now)
	}
}
