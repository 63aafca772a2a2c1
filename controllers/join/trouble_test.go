package join_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func aMachineWithoutANodeAgentSaysWhy(t *testing.T, c *cluster) {
	t.Helper()
	pool := c.newPool(t, "poor")
	revision := &appsv1.ControllerRevision{}
	must(t, c.Client.Get(t.Context(), client.ObjectKey{Namespace: pool.Namespace, Name: v1alpha1.RevisionName(pool.Name, "abc")}, revision))
	foreign := &v1alpha1.NodeAgent{}
	foreign.Name = v1alpha1.MachineName(pool, 0)
	must(t, json.Unmarshal(revision.Data.Raw, &foreign.Spec))
	must(t, c.Client.Create(t.Context(), foreign))
	must(t, report(t.Context(), c.Client, foreign.Name, "True", v1alpha1.ReasonHealthy))
	eventually(t, "its Machine is looked for, in vain", func(context.Context) error {
		if c.searches(foreign.Name) == 0 {
			return errNotYet
		}
		return nil
	})

	m := c.newMachine(t, pool, 0)
	m.wantHealth(t, "False", v1alpha1.ReasonNodeNameTaken)
	m.wantEvent(t, v1alpha1.ReasonNodeNameTaken, "delete that NodeAgent, or this Machine")
	must(t, c.Client.Delete(t.Context(), foreign))
	m.wantHealthWhenLookedAt(t, "Unknown", v1alpha1.ReasonNotReported, "")
	m.wantToldOnce(t, v1alpha1.ReasonNodeNameTaken)

	must(t, c.Client.Delete(t.Context(), revision))
	orphan := c.newMachine(t, pool, 1)
	orphan.wantHealth(t, "False", v1alpha1.ReasonRevisionUnusable)
	orphan.wantEvent(t, v1alpha1.ReasonRevisionUnusable, "delete the Machine to have it replaced")
	orphan.wantToldOnce(t, v1alpha1.ReasonRevisionUnusable)

	anew := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: revision.Namespace, Name: revision.Name, Labels: revision.Labels}, Revision: 1}
	anew.Data.Raw = []byte(`{"version": 1}`)
	must(t, c.Client.Create(t.Context(), anew))
	orphan.wantHealthWhenLookedAt(t, "False", v1alpha1.ReasonRevisionUnusable, "cannot unmarshal number")
	must(t, c.Client.Delete(t.Context(), anew))
	anew.ResourceVersion, anew.UID, anew.Data.Raw = "", "", []byte(`{"version": "v1.36.3"}`)
	must(t, c.Client.Create(t.Context(), anew))
	orphan.wantHealthWhenLookedAt(t, "False", v1alpha1.ReasonNodeAgentRefused, "spec.revision: Required value")
}

func aNodeWithoutThePoolsLabelsSaysWhy(t *testing.T, c *cluster) {
	t.Helper()
	m := c.newMachine(t, c.newPool(t, "bare"), 0)
	m.comesUp(t, c.Client)

	// The record is the reconciler's first: it would write over what is put there before.
	eventually(t, "the Node has the pool's record", func(ctx context.Context) error {
		node := nodeNamed(m.object.Name)
		if err := m.Client.Get(ctx, client.ObjectKeyFromObject(node), node); err != nil {
			return err
		}
		if node.Annotations[v1alpha1.NodeTemplateAnnotation] == "" {
			return errNotYet
		}
		return nil
	})
	m.annotateNode(t, v1alpha1.NodeTemplateAnnotation, "no JSON")
	m.wantHealth(t, "False", v1alpha1.ReasonTemplateNotApplied)
	m.wantEvent(t, v1alpha1.ReasonTemplateNotApplied, "remove the annotation")
	m.annotateNode(t, v1alpha1.NodeTemplateAnnotation, "")
	m.wantHealth(t, "True", v1alpha1.ReasonHealthy)
	m.wantToldOnce(t, v1alpha1.ReasonTemplateNotApplied)

	// A Node has room for 256 KiB of annotations; somebody else's leave little of it for the pool's record.
	const room, labels = 256 << 10, 20
	m.annotateNode(t, "example.com/large", strings.Repeat("x", room-1000))
	patch := client.MergeFrom(m.pool.DeepCopy())
	m.pool.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{}
	for i := range labels {
		m.pool.Spec.Template.Metadata.Labels[fmt.Sprintf("example.com/%s%02d", strings.Repeat("x", 61), i)] = ""
	}
	must(t, c.Client.Patch(t.Context(), m.pool, patch))
	m.wantHealthWhenLookedAt(t, "False", v1alpha1.ReasonTemplateNotApplied, "change the pool's template, or what refuses it")
	m.annotateNode(t, "example.com/large", "")
	m.wantHealth(t, "True", v1alpha1.ReasonHealthy)
}

// annotateNode sets an annotation of the Node, or removes it.
func (m *machine) annotateNode(t *testing.T, key, value string) {
	t.Helper()
	annotations := map[string]any{key: value}
	if value == "" {
		annotations[key] = nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	must(t, err)
	must(t, m.Client.Patch(t.Context(), nodeNamed(m.object.Name), client.RawPatch(types.MergePatchType, patch)))
}

// wantHealthWhenLookedAt does not wait until a trouble is looked at again.
func (m *machine) wantHealthWhenLookedAt(t *testing.T, status metav1.ConditionStatus, reason, message string) {
	t.Helper()
	looks := 0
	eventually(t, fmt.Sprintf("AgentHealthy is %s for %s: %s", status, reason, message), func(ctx context.Context) error {
		looks++
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"looks":"%d"}}}`, looks)
		if err := m.Client.Patch(ctx, m.object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			return err
		}
		condition, err := m.health(ctx)
		if err == nil && (condition == nil || condition.Status != status || condition.Reason != reason || !strings.Contains(condition.Message, message)) {
			err = fmt.Errorf("it is %+v", condition)
		}
		return err
	})
}

// wantToldOnce wants one event of that reason, which is no series.
func (m *machine) wantToldOnce(t *testing.T, reason string) {
	t.Helper()
	list := &eventsv1.EventList{}
	must(t, m.Client.List(t.Context(), list, client.InNamespace(m.pool.Namespace)))
	told := 0
	for _, event := range list.Items {
		if event.Reason == reason && event.Related != nil && event.Related.Name == m.object.Name {
			told++
			if event.Series != nil {
				told += int(event.Series.Count)
			}
		}
	}
	if told != 1 {
		t.Errorf("event %s was raised %d times, want once", reason, told)
	}
}
