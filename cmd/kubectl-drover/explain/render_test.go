package explain

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// rolling is a pool of three of which one is changed, and which lacks two.
func rolling() planner.Explanation {
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers"}}
	pool.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionFalse, Reason: "Updating", Message: "1 of 3 machines run it"},
		{Type: v1alpha1.StalledCondition, Status: metav1.ConditionFalse, Reason: "Fine", Message: "not shown"},
	}
	update := func(name, waits, what string) planner.Decision {
		return planner.Decision{Waits: waits, For: what, Action: planner.Action{
			Verb: planner.Update, Name: name, Class: disruption.Restart, Reason: "the pool's template changed in kubelet.maxPods",
		}}
	}
	lacking := planner.Decision{Action: planner.Action{Verb: planner.Create, Reason: "the pool wants 5, and 3 are there"}}
	return planner.Explanation{
		Pool: pool, Revision: "r2", Updated: 1, Active: 3,
		Decisions: []planner.Decision{lacking, lacking, update("w-1", "", ""), update("w-2", "OneAtATime", "w-1 is\x1b[2J changed first")},
		Machines:  []planner.Standing{{Name: "w-0", State: "runs revision r2"}, {Name: "w-1", State: "is next"}, {Name: "w-2", State: "runs revision r1 and is to be given r2"}},
	}
}

func TestPlanIsATable(t *testing.T) {
	var out strings.Builder
	if err := renderPlan(&out, rolling()); err != nil {
		t.Fatal(err)
	}
	want := `NodePool default/workers: 1 of 3 machines run revision r2, its template's
#  ACTION             CLASS    WHEN                                             WHY
1  Create 2 machines  -        now                                              the pool wants 5, and 3 are there
2  Update w-1         Restart  now                                              the pool's template changed in kubelet.maxPods
3  Update w-2         Restart  waits (OneAtATime): w-1 is [2J changed first     the pool's template changed in kubelet.maxPods
`
	if diff := cmp.Diff(strings.Fields(want), strings.Fields(out.String())); diff != "" {
		t.Errorf("the plan reads (-want +got):\n%s\n%s", diff, out.String())
	}
}

func TestAPoolThatIsDoneHasNothingToDo(t *testing.T) {
	told := rolling()
	told.Decisions = nil
	told.Problems = []planner.Problem{{Reason: "BundleNotFound", Message: "No NodeBundle has version v9"}}
	var out strings.Builder
	if err := renderPlan(&out, told); err != nil {
		t.Fatal(err)
	}
	want := "NodePool default/workers: 1 of 3 machines run revision r2, its template's\nProblem (BundleNotFound): No NodeBundle has version v9\nNothing is to be done.\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("the plan reads (-want +got):\n%s", diff)
	}
}

func TestWhy(t *testing.T) {
	machine := func(name string) *clusterv1.Machine {
		m := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.MachineAgentHealthyCondition, Status: metav1.ConditionTrue}}
		return m
	}
	ill := machine("w-0")
	ill.Status.Conditions[0] = metav1.Condition{Type: v1alpha1.MachineAgentHealthyCondition, Status: metav1.ConditionFalse, Message: "containerd is down"}
	for name, c := range map[string]struct {
		asked asked
		want  []string
	}{
		"a pool says what is True of it, and each step": {asked{}, []string{
			"NodePool default/workers: 1 of 3 machines run revision r2, its template's.",
			"Ready is False (Updating): 1 of 3 machines run it",
			"Create 2 machines, now. Why: the pool wants 5, and 3 are there.",
			"Update w-1 (Restart), now. Why: the pool's template changed in kubelet.maxPods.",
			"Update w-2 (Restart), waits (OneAtATime): w-1 is [2J changed first. Why: the pool's template changed in kubelet.maxPods.",
		}},
		"a machine that waits says for what": {asked{machine: machine("w-2")}, []string{
			"Machine default/w-2 of NodePool workers: runs revision r1 and is to be given r2.",
			"Update w-2 (Restart), waits (OneAtATime): w-1 is [2J changed first. Why: the pool's template changed in kubelet.maxPods.",
		}},
		"one that is ill says why, and that nothing is done about it": {asked{machine: ill}, []string{
			"Machine default/w-0 of NodePool workers: runs revision r2.",
			"It is not well: containerd is down",
			"Nothing is to be done to it.",
		}},
		"one that no pool counts is told so": {asked{machine: machine("w-9")}, []string{
			"Machine default/w-9 of NodePool workers: its pool does not count it.",
			"Nothing is to be done to it.",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := renderWhy(&out, &c.asked, rolling()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Join(c.want, "\n")+"\n", out.String()); diff != "" {
				t.Errorf("it reads (-want +got):\n%s", diff)
			}
		})
	}
}
