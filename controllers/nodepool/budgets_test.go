package nodepool_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/intstr"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

func budgetOf(nodes string, edits ...func(*v1alpha1.DisruptionBudget)) v1alpha1.DisruptionBudget {
	value := intstr.Parse(nodes)
	b := v1alpha1.DisruptionBudget{Nodes: &value}
	for _, edit := range edits {
		edit(&b)
	}
	return b
}

func during(schedule, zone string, seconds int32) func(*v1alpha1.DisruptionBudget) {
	return func(b *v1alpha1.DisruptionBudget) {
		b.Schedule, b.TimeZone, b.DurationSeconds = schedule, zone, &seconds
	}
}

func forReasons(reasons ...v1alpha1.DisruptionReason) func(*v1alpha1.DisruptionBudget) {
	return func(b *v1alpha1.DisruptionBudget) { b.Reasons = reasons }
}

func TestBudgetsThatTheAPIServerTakes(t *testing.T) {
	s := newSite(t)
	lone := func(edit func(*v1alpha1.DisruptionBudget)) []v1alpha1.DisruptionBudget {
		return []v1alpha1.DisruptionBudget{budgetOf("1", edit)}
	}
	for name, tc := range map[string]struct {
		budgets []v1alpha1.DisruptionBudget
		// refused is part of what the API server says; empty where it takes them.
		refused string
	}{
		"none":                      {[]v1alpha1.DisruptionBudget{}, ""},
		"numbers and percentages":   {[]v1alpha1.DisruptionBudget{budgetOf("0"), budgetOf("10000"), budgetOf("0%"), budgetOf("100%")}, ""},
		"a window":                  {lone(during("0 22 * * mon-fri", "Europe/Berlin", 3600)), ""},
		"a word":                    {lone(during("@daily", "", 60)), ""},
		"both reasons":              {lone(forReasons("Update", "ScaleDown")), ""},
		"too many":                  {[]v1alpha1.DisruptionBudget{budgetOf("10001")}, "nodes is a number from 0 to 10000"},
		"fewer than none":           {[]v1alpha1.DisruptionBudget{budgetOf("-1")}, "nodes is a number from 0 to 10000"},
		"more than all":             {[]v1alpha1.DisruptionBudget{budgetOf("101%")}, "budgets[0].nodes"},
		"no nodes":                  {[]v1alpha1.DisruptionBudget{{}}, "nodes: Required"},
		"a schedule alone":          {lone(func(b *v1alpha1.DisruptionBudget) { b.Schedule = "@daily" }), "both or neither"},
		"a length alone":            {lone(func(b *v1alpha1.DisruptionBudget) { b.DurationSeconds = ptr.To[int32](60) }), "both or neither"},
		"a zone alone":              {lone(func(b *v1alpha1.DisruptionBudget) { b.TimeZone = "UTC" }), "timeZone is that of the schedule"},
		"a length of half a minute": {lone(during("@daily", "", 30)), "durationSeconds"},
		"six fields":                {lone(during("0 0 22 * * *", "", 60)), "schedule"},
		"an interval":               {lone(during("@every 1h", "", 60)), "schedule"},
		"a zone in the schedule":    {lone(during("TZ=UTC 0 22 * * *", "", 60)), "schedule"},
		"a zone of another planet":  {lone(during("@daily", "Mars/Olympus", 60)), "time zone"},
		"the server's own zone":     {lone(during("@daily", "Local", 60)), "there is no such time zone"},
		"another reason":            {lone(forReasons("Gossip")), "reasons[0]"},
		"windows without a say":     {[]v1alpha1.DisruptionBudget{budgetOf("5", during("@daily", "", 60)), budgetOf("0")}, "never has a say"},
		"in percent":                {[]v1alpha1.DisruptionBudget{budgetOf("0%"), budgetOf("5", during("@daily", "", 60))}, "never has a say"},
		"of one reason of two":      {[]v1alpha1.DisruptionBudget{budgetOf("0", forReasons("Update")), budgetOf("5", during("@daily", "", 60))}, ""},
		"of the same reason":        {[]v1alpha1.DisruptionBudget{budgetOf("0", forReasons("Update")), budgetOf("5", during("@daily", "", 60), forReasons("Update"))}, "never has a say"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := s.pool("budgets", 1)
			pool.Spec.Disruption.Budgets = tc.budgets
			err := s.Client.Create(t.Context(), pool, client.DryRunAll)
			switch {
			case tc.refused == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case tc.refused != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.refused)):
				t.Errorf("got %v, want it refused with %q", err, tc.refused)
			}
		})
	}
}

// TestABudgetsWindow: in it no node is changed; the manager looks again when it ends, and goes on.
func TestABudgetsWindow(t *testing.T) {
	d := startDrained(t, "window")
	d.clock = clocktesting.NewFakePassiveClock(time.Date(2026, time.March, 29, 0, 30, 0, 0, time.UTC))
	d.restart()
	update(d.site, d.pool, func(p *v1alpha1.NodePool) {
		// From half past two, which is skipped, so from when the clock does that, at one o'clock of UTC.
		p.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{budgetOf("0", during("30 2 * * *", "Europe/Berlin", 7200), forReasons("Update"))}
	})
	look := func() ctrl.Result {
		t.Helper()
		result, err := d.manager.Reconcile(t.Context(), d.request)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Client.Get(t.Context(), d.request.NamespacedName, d.pool); err != nil {
			t.Fatal(err)
		}
		return result
	}
	if again := look().RequeueAfter; again != 30*time.Minute || d.pool.Status.Disruption == nil || len(d.pool.Status.Disruption.Allowed) > 0 {
		t.Errorf("before the window it looks again after %s, and says %+v", again, d.pool.Status.Disruption)
	}
	d.clock.SetTime(d.clock.Now().Add(30 * time.Minute))
	d.wants(d.minor)
	again := look().RequeueAfter
	want := "Update 1 DisruptionBudget: spec.disruption.budgets[0], until 2026-03-29T03:00:00Z, allows no node to be disrupted"
	if got := deferredIn(d.pool); again != 2*time.Hour || got != want {
		t.Errorf("in the window it looks again after %s, and %q waits, want that after two hours, and %q", again, got, want)
	}
	if cordoned, _ := d.cordoned(); cordoned || d.budget.asked.Load() > 0 {
		t.Errorf("in the window the node is cordoned (%t) and its pods are evicted (%d times)", cordoned, d.budget.asked.Load())
	}
	d.clock.SetTime(d.clock.Now().Add(again))
	d.eventually("after it the node is changed", func() error { d.round(); d.play(); return d.updated(1) })
}

func deferredIn(pool *v1alpha1.NodePool) string {
	var list []string
	if pool.Status.Disruption != nil {
		for _, one := range pool.Status.Disruption.Deferred {
			list = append(list, fmt.Sprintf("%s %d %s: %s", one.Action, one.Count, one.Reason, one.Message))
		}
	}
	return strings.Join(list, "\n")
}

// TestAPoolShrinksWithinItsBudget, and not at all while nobody knows what that is.
func TestAPoolShrinksWithinItsBudget(t *testing.T) {
	f := startFleet(t, "shrinks", 4)
	update(f.site, f.pool, func(p *v1alpha1.NodePool) {
		p.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{budgetOf("1", during("0 0 30 2 *", "", 60))} // which the schema lets in
	})
	f.eventually("the field is named", func() error {
		if err := f.hasCondition(f.pool, v1alpha1.StalledCondition, v1alpha1.ReasonBudgetsInvalid); err != nil {
			return err
		}
		if c := f.pool.Status.Conditions; !strings.Contains(fmt.Sprint(c), "spec.disruption.budgets[0].schedule is") {
			return fmt.Errorf("got %+v", c)
		}
		return nil
	})
	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](1) })
	f.eventually("all wait", func() error {
		if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(f.pool), f.pool); err != nil {
			return err
		}
		if got := deferredIn(f.pool); !strings.HasPrefix(got, "Delete 3 "+planner.DeferredBudgetsInvalid) {
			return fmt.Errorf("%q waits", got)
		}
		return nil
	})
	if n := len(f.machines()); n != 4 {
		t.Fatalf("%d machines are left of four", n)
	}

	update(f.site, f.pool, func(p *v1alpha1.NodePool) { p.Spec.Disruption.Budgets = []v1alpha1.DisruptionBudget{budgetOf("25%")} })
	most := 0
	f.eventually("one after the other goes", func() error {
		leaving := 0
		for _, m := range f.machines() {
			if !m.DeletionTimestamp.IsZero() {
				leaving++
			}
		}
		most = max(most, leaving)
		f.play()
		return f.updated(1)
	})
	if most != 1 {
		t.Errorf("%d machines were drained at one time, and the budget is one", most)
	}
}
