package planner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestEachMachineIsToldOf(t *testing.T) {
	s := snapshot(newPool(6, 7),
		newMachine(0, outdated), newMachine(1, outdated), newMachine(2, outdated, silent), newMachine(3), newMachine(4, outdated), newMachine(5, outdated),
		newMachine(6, leaving))
	hasAgents(runs(0, "r0", wentBack("r1")), runs(1, "r0"), runs(2, "r0"), runs(3, "r1"), runs(4, "r0"), runs(5, "r0"), runs(6, "r0"))(&s)
	elsewhere := s.Contents["r-1"]
	elsewhere.Elsewhere = true
	s.Contents["r-2"] = elsewhere
	s.Machines[5].Labels["fleet.drover.dev/revision"] = "r-2"
	s.Pool.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{Kind: "LocalMachineTemplate", Name: "large"}

	name := func(i int) string { return s.Machines[i].Name }
	want := []Standing{
		{name(0), "went back from revision r1 to r0: kubelet ended 3 times"},
		{name(1), "runs revision r0 and is to be given r1"},
		{name(2), "is not heard of: it is passed over until it is"},
		{name(3), "runs revision r1"},
		{name(4), "runs revision r0 and is to be given r1"},
		{name(5), "is to be replaced: it was made from another infrastructure than LocalMachineTemplate large is now, which no change in place brings it to"},
		{name(6), "is being deleted"},
	}
	told := Explain(s)
	if diff := cmp.Diff(want, told.Machines); diff != "" {
		t.Errorf("the machines are told of so (-want +got):\n%s", diff)
	}
	if told.Updated != 1 || told.Active != 6 {
		t.Errorf("%d of %d are told to be updated, want 1 of 6", told.Updated, told.Active)
	}
	for _, d := range told.Decisions {
		if d.Verb == Update && (d.Waits != DeferredRolledBack || d.For == "") {
			t.Errorf("the update of %s waits because of %q for %q, want a node that went back", d.Name, d.Waits, d.For)
		}
	}

	isDeleting(s.Pool)
	if told := Explain(s); told.Machines[1].State != "goes, as the pool is being deleted" || len(told.Decisions) == 0 {
		t.Errorf("a pool that goes is told of as %+v", told)
	}
}
