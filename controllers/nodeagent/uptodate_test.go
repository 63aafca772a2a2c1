package nodeagent

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// compared is a machine that was made from revision a, of a pool that asks for a.
func compared() *observed {
	o := booting()
	o.machine.Labels = map[string]string{v1alpha1.RevisionLabel: "a"}
	o.agent.Spec.Revision, o.agent.Spec.Version = "a", "v1.36.5"
	o.pool.Spec.Template.Spec.Version = "v1.36.5"
	o.pool.Status.Revision = "a"
	return o
}

// runsIt has a machine run a revision that proved itself, after it was made.
func (o *observed) runsIt(told, runs string, phase v1alpha1.NodeAgentPhase) {
	o.agent.Spec.Revision = told
	o.agent.Status.CurrentRevision, o.agent.Status.Phase = runs, phase
}

func (o *observed) wasUpToDate(status metav1.ConditionStatus, reason, message string) {
	o.machine.Status.Conditions = append(o.machine.Status.Conditions, metav1.Condition{
		Type: clusterv1.MachineUpToDateCondition, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(made)})
}

func TestUpToDate(t *testing.T) {
	const digest = "sha256:1f"
	named := func(o *observed) {
		o.pool.Status.Revision = "b"
		o.agent.Spec.Agent = &v1alpha1.AgentRelease{Version: "v2", Artifacts: []v1alpha1.Artifact{{Image: "10.88.0.1:5443/agent@" + digest}}}
		o.runsIt("b", "b", v1alpha1.PhaseCommitted)
		o.agent.Status.PreviousRevision = "a"
	}
	outdated := "It is to run revision b, its pool's, instead of a: kubectl drover why workers-abcde-0 says what that waits for"
	for _, c := range []struct {
		reason string
		set    func(o *observed)
		// want is "status reason message", where the message may be the beginning only; "" for no condition.
		want string
		// news says whether it is worth a write of its own.
		news bool
	}{
		{"a machine that has just been made is written with what its agent says", func(*observed) {}, "True UpToDate", false},
		{"so is one without a NodeAgent", func(o *observed) { o.agent = nil }, "True UpToDate", false},
		{"the first of a pool, whose status has only reserved its ordinal", func(o *observed) {
			o.pool.Status.Revision, o.pool.Status.Reserved = "", &v1alpha1.OrdinalRange{Revision: "a"}
		}, "True UpToDate", false},
		{"it comes up", func(o *observed) { o.runsIt("a", "a", v1alpha1.PhaseProbation); o.wasUpToDate("True", "UpToDate", "") }, "True UpToDate", false},
		{"one of an older manager has none", func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "")
			o.runsIt("a", "a", v1alpha1.PhaseCommitted)
		}, "True UpToDate", true},
		{"nobody knows what the pool asks for", func(o *observed) { o.pool.Status.Revision = "" }, "", false},
		{"nor any more", func(o *observed) { o.pool.Status.Revision = ""; o.wasUpToDate("False", "NotUpToDate", "as it was") }, "False NotUpToDate as it was", false},
		{"the pool asks for another revision", func(o *observed) {
			o.runsIt("a", "a", v1alpha1.PhaseCommitted)
			o.pool.Status.Revision = "b"
			o.wasUpToDate("True", "UpToDate", "")
		}, "False NotUpToDate " + outdated, true},
		{"it says so", func(o *observed) { o.pool.Status.Revision = "b"; o.wasUpToDate("False", "NotUpToDate", outdated) }, "False NotUpToDate " + outdated, false},
		{"and for yet another", func(o *observed) { o.pool.Status.Revision = "c"; o.wasUpToDate("False", "NotUpToDate", outdated) },
			"False NotUpToDate It is to run revision c", true},
		{"another version of Kubernetes is named", func(o *observed) { o.pool.Status.Revision, o.pool.Spec.Template.Spec.Version = "b", "v1.37.2" },
			"False NotUpToDate It is to run revision b, its pool's, instead of a, with Kubernetes v1.37.2 instead of v1.36.5 (Drain): kubectl", false},
		{"which the pool's status has yet to mean", func(o *observed) {
			o.pool.Status.Revision, o.pool.Spec.Template.Spec.Version, o.pool.Generation = "b", "v1.37.2", 7
			o.wasUpToDate("False", "NotUpToDate", outdated)
		}, "False NotUpToDate It is to run revision b, its pool's, instead of a, with Kubernetes v1.37.2", false},
		{"it is told, which costs no write", func(o *observed) {
			o.runsIt("b", "a", v1alpha1.PhaseStaging)
			o.pool.Status.Revision = "b"
			o.wasUpToDate("False", "NotUpToDate", outdated)
		}, "False Updating It was told to run revision b", false},
		{"it runs it, and has yet to prove it", func(o *observed) {
			o.runsIt("b", "b", v1alpha1.PhaseProbation)
			o.agent.Status.PreviousRevision, o.pool.Status.Revision = "a", "b"
			o.wasUpToDate("False", "NotUpToDate", outdated)
		}, "False Updating", false},
		{"it has proved it", func(o *observed) {
			o.runsIt("b", "b", v1alpha1.PhaseCommitted)
			o.agent.Status.PreviousRevision, o.pool.Status.Revision = "a", "b"
			o.wasUpToDate("False", "NotUpToDate", outdated)
		}, "True UpToDate", true},
		{"it is told of other facts of its cluster", func(o *observed) {
			o.runsIt("b", "b", v1alpha1.PhaseProbation)
			o.agent.Status.PreviousRevision, o.pool.Status.Revision = "a", "b"
			o.wasUpToDate("True", "UpToDate", "")
		}, "True UpToDate", false},
		{"it went back", func(o *observed) {
			o.runsIt("b", "a", v1alpha1.PhaseRolledBack)
			o.agent.Status.FailedRevision = &v1alpha1.FailedRevision{Revision: "b", Reason: v1alpha1.ReasonExited}
			o.agent.Status.PreviousRevision, o.pool.Status.Revision = "a", "b"
			o.wasUpToDate("False", "NotUpToDate", outdated)
		}, "False NotUpToDate It went back from revision b, its pool's: kubectl drover why workers-abcde-0", true},
		{"its agent has yet to change", named, "False Updating", false},
		{"its agent has changed", func(o *observed) {
			named(o)
			o.agent.Status.Agent = &v1alpha1.AgentProgram{Digest: digest}
		}, "True UpToDate", false},
		{"its agent went back", func(o *observed) {
			named(o)
			o.agent.Status.Agent = &v1alpha1.AgentProgram{Digest: "sha256:0e", Failed: &v1alpha1.FailedAgent{Digest: digest}}
		}, "False NotUpToDate It went back", false},
	} {
		o := compared()
		c.set(o)
		got, is := o.upToDate(), ""
		if got != nil {
			is = strings.TrimSpace(string(got.Status) + " " + got.Reason + " " + got.Message)
		}
		if is != c.want && (c.want == "" || !strings.HasPrefix(is, c.want)) || o.isNews(got) != c.news {
			t.Errorf("%s: got %q, news %t; want %q, news %t", c.reason, is, o.isNews(got), c.want, c.news)
		}
	}
}

// TestUpToDateChangesItsTimeWithItsStatus alone, and not with AgentHealthy's.
func TestUpToDateChangesItsTimeWithItsStatus(t *testing.T) {
	o := compared()
	o.had("False", v1alpha1.ReasonExited, "")
	o.wasUpToDate("True", "UpToDate", "")
	o.now = made.Add(time.Hour)
	if got := o.upToDate(); !got.LastTransitionTime.Equal(ptr.To(metav1.NewTime(made))) || got.ObservedGeneration != o.machine.Generation {
		t.Errorf("it is as it was, and says %+v", got)
	}
	o.pool.Status.Revision = "b"
	if got := o.upToDate(); !got.LastTransitionTime.Equal(ptr.To(metav1.NewTime(o.now))) {
		t.Errorf("it has changed, and says %+v", got)
	}
}

// TestBothConditionsAreOneWrite where both have news, and none takes the other away.
func TestBothConditionsAreOneWrite(t *testing.T) {
	var applied [][]string
	h := newHalting(t, func(h *halting) {
		h.agent.Status.AgentVersion = "v1"
		h.agent.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonHealthy}}
	})
	h.goOn()
	h.reconciler.Management.Client = interceptor.NewClient(h.WithWatch, interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, c client.Client, _ string, patch runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
			data, err := json.Marshal(patch)
			if err != nil {
				return err
			}
			next := &clusterv1.Machine{}
			if err := json.Unmarshal(data, next); err != nil {
				return err
			}
			var says []string
			machine := &clusterv1.Machine{}
			if err := c.Get(ctx, client.ObjectKeyFromObject(next), machine); err != nil {
				return err
			}
			for _, condition := range next.Status.Conditions {
				says = append(says, condition.Type+"="+condition.Reason)
				meta.SetStatusCondition(&machine.Status.Conditions, condition)
			}
			applied = append(applied, says)
			return c.Status().Update(ctx, machine)
		},
	})
	for _, c := range []struct {
		reason string
		edit   func(*v1alpha1.NodePool)
		want   []string
	}{
		{"nobody knows yet what the pool asks for", func(*v1alpha1.NodePool) {}, []string{"AgentHealthy=Healthy"}},
		{"it is what the machine was made from", func(p *v1alpha1.NodePool) { p.Status.Revision = "abc" }, []string{"AgentHealthy=Healthy", "UpToDate=UpToDate"}},
		{"nothing is new", func(p *v1alpha1.NodePool) { p.Status.ReadyReplicas = ptr.To[int32](1) }, nil},
		{"it is another one", func(p *v1alpha1.NodePool) { p.Status.Revision = "def" }, []string{"AgentHealthy=Healthy", "UpToDate=NotUpToDate"}},
	} {
		pool := &v1alpha1.NodePool{}
		if err := h.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "workers"}, pool); err != nil {
			t.Fatal(err)
		}
		c.edit(pool)
		if err := h.Update(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		applied = nil
		h.look()
		if c.want == nil && len(applied) > 0 || c.want != nil && (len(applied) != 1 || !slices.Equal(applied[0], c.want)) {
			t.Errorf("%s: it was written so: %q, want %q once", c.reason, applied, c.want)
		}
	}
}
