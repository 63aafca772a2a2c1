package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// planned is the part of a Result that the tables compare.
type planned struct {
	Create, Discard, Delete, Release []int64
	Reserve                          string
	Next                             int64
	Finish, Finalize                 bool
	Deferred                         []string
	Prune                            []string
}

func summarise(r Result) planned {
	p := planned{
		Create: ordinals(r, Create), Discard: ordinals(r, Discard), Delete: ordinals(r, Delete), Release: ordinals(r, Release),
		Next: r.NextOrdinal, Finish: r.FinishReservation, Finalize: r.Finalize, Prune: r.PruneRevisions,
	}
	if r.Reserve != nil {
		p.Reserve = fmt.Sprintf("%d+%d %s", *r.Reserve.First, r.Reserve.Count, r.Reserve.Revision)
	}
	for _, d := range r.Deferred {
		p.Deferred = append(p.Deferred, fmt.Sprintf("%s %d %s", d.Verb, d.Count, d.Reason))
	}
	return p
}

func TestPlan(t *testing.T) {
	with := func(s Snapshot, edit func(*Snapshot)) Snapshot { edit(&s); return s }
	cached := func(s *Snapshot) { s.Live = false }
	stalledBy := func(s *Snapshot) {
		s.Problems = []Problem{{Reason: v1alpha1.ReasonTemplateNotFound, Message: "no template"}}
	}
	cases := map[string]struct {
		reason   string
		snapshot Snapshot
		want     planned
	}{
		"nothing to do": {
			reason:   "a complete pool is left alone",
			snapshot: snapshot(newPool(2, 2), newMachine(0), newMachine(1)),
			want:     planned{Next: 2},
		},
		"first machines": {
			reason:   "ordinals are reserved from the next one on, and their machines made in the same round",
			snapshot: snapshot(newPool(3, 0)),
			want:     planned{Create: []int64{0, 1, 2}, Reserve: "0+3 r1", Next: 3, Finish: true},
		},
		"replicas not set": {
			reason:   "a pool that does not say how many has one machine",
			snapshot: with(snapshot(newPool(0, 0)), func(s *Snapshot) { s.Pool.Spec.Replicas = nil }),
			want:     planned{Create: []int64{0}, Reserve: "0+1 r1", Next: 1, Finish: true},
		},
		"machine deleted by hand": {
			reason:   "a machine that leaves is replaced at once, under a new name",
			snapshot: snapshot(newPool(2, 2), newMachine(0, leaving), newMachine(1)),
			want:     planned{Create: []int64{2}, Release: []int64{0}, Reserve: "2+1 r1", Next: 3, Finish: true},
		},
		"status lost": {
			reason:   "without a status the next ordinal is beyond every machine there is",
			snapshot: with(snapshot(newPool(2, 0), newMachine(7)), func(s *Snapshot) { s.Pool.Status = v1alpha1.NodePoolStatus{} }),
			want:     planned{Create: []int64{8}, Reserve: "8+1 r1", Next: 9, Finish: true},
		},
		"scale down": {
			reason:   "what is too much goes, the newest first",
			snapshot: snapshot(newPool(1, 3), newMachine(0), newMachine(1), newMachine(2)),
			want:     planned{Delete: []int64{2, 1}, Next: 3},
		},
		"scale down counts what leaves": {
			reason:   "machines that leave already are not replaced by other victims",
			snapshot: snapshot(newPool(1, 3), newMachine(0), newMachine(1, leaving), newMachine(2, leaving)),
			want:     planned{Release: []int64{1, 2}, Next: 3},
		},
		"paused": {
			reason:   "a paused pool neither makes nor deletes, but finishes what a user began by deleting a machine",
			snapshot: snapshot(newPool(3, 2, isPaused), newMachine(0), newMachine(1, leaving)),
			want:     planned{Release: []int64{1}, Next: 2, Deferred: []string{"Create 2 Paused"}},
		},
		"paused scale down": {
			reason:   "a paused pool deletes nothing",
			snapshot: snapshot(newPool(0, 1, isPaused), newMachine(0)),
			want:     planned{Next: 1, Deferred: []string{"Delete 1 Paused"}},
		},
		"paused in the middle of a reservation": {
			reason:   "a reservation is not given up by a pool that may not change anything",
			snapshot: snapshot(newPool(0, 2, isPaused, hasReserved(0, 2, "r1")), newMachine(0)),
			want:     planned{Next: 2, Deferred: []string{"Discard 1 Paused", "Delete 1 Paused"}},
		},
		"cache behind": {
			reason:   "nothing is decided on less than we know",
			snapshot: with(snapshot(newPool(3, 1), newMachine(0), newMachine(5, leaving)), func(s *Snapshot) { s.CacheBehind = "Machine x" }),
			want:     planned{Next: 6, Deferred: []string{"Create 2 CacheBehind"}},
		},
		"stalled": {
			reason:   "a pool with a problem makes no machine and reserves no ordinal",
			snapshot: with(snapshot(newPool(2, 1), newMachine(0)), stalledBy),
			want:     planned{Next: 1, Deferred: []string{"Create 1 Stalled"}},
		},
		"stalled scale down": {
			reason:   "a problem with making machines is none with deleting them",
			snapshot: with(snapshot(newPool(0, 1), newMachine(0)), stalledBy),
			want:     planned{Delete: []int64{0}, Next: 1},
		},
		"revision unknown": {
			reason:   "no machine is made of a template whose revision is not known",
			snapshot: with(snapshot(newPool(1, 0)), func(s *Snapshot) { s.Revision = "" }),
			want:     planned{Deferred: []string{"Create 1 Stalled"}},
		},
		"deleting": {
			reason:   "a pool that is being deleted deletes all and makes none",
			snapshot: snapshot(newPool(3, 2, isDeleting), newMachine(0), newMachine(1)),
			want:     planned{Delete: []int64{1, 0}, Next: 2},
		},
		"deleting with a reservation": {
			reason:   "what was reserved and not made is given up; nothing is made",
			snapshot: snapshot(newPool(3, 3, isDeleting, hasReserved(0, 3, "r1")), newMachine(0)),
			want:     planned{Discard: []int64{1, 2}, Delete: []int64{0}, Next: 3, Finish: true},
		},
		"deleted, seen in the cache": {
			reason:   "a cache without machines does not prove that there are none",
			snapshot: with(snapshot(newPool(3, 2, isDeleting)), cached),
			want:     planned{Next: 2},
		},
		"deleted": {
			reason:   "the pool goes when the API server says that the last machine is gone",
			snapshot: snapshot(newPool(3, 2, isDeleting)),
			want:     planned{Next: 2, Finalize: true},
		},
		"crash before the first machine": {
			reason:   "exactly the reserved machines are made",
			snapshot: snapshot(newPool(3, 3, hasReserved(0, 3, "r1"))),
			want:     planned{Create: []int64{0, 1, 2}, Next: 3, Finish: true},
		},
		"crash in the middle": {
			reason:   "what is there already is not made again",
			snapshot: snapshot(newPool(3, 3, hasReserved(0, 3, "r1")), newMachine(1)),
			want:     planned{Create: []int64{0, 2}, Next: 3, Finish: true},
		},
		"crash after the last machine": {
			reason:   "the reservation is over",
			snapshot: snapshot(newPool(2, 2, hasReserved(0, 2, "r1")), newMachine(0), newMachine(1)),
			want:     planned{Next: 2, Finish: true},
		},
		"crash, and a reserved machine is deleted by hand": {
			reason:   "its name is not made again; it is replaced after the reservation, and held until then",
			snapshot: snapshot(newPool(2, 2, hasReserved(0, 2, "r1")), newMachine(0, leaving), newMachine(1)),
			want:     planned{Next: 2, Finish: true, Deferred: []string{"Create 1 ReservationOpen"}},
		},
		"crash, then scaled down": {
			reason:   "only as many as are wanted are made; the other ordinals are given up",
			snapshot: snapshot(newPool(2, 5, hasReserved(0, 5, "r1")), newMachine(3)),
			want:     planned{Create: []int64{0}, Discard: []int64{1, 2, 4}, Next: 5, Finish: true},
		},
		"crash, then scaled up": {
			reason:   "the reservation is finished before the next begins",
			snapshot: snapshot(newPool(4, 2, hasReserved(0, 2, "r1"))),
			want:     planned{Create: []int64{0, 1}, Next: 2, Finish: true, Deferred: []string{"Create 2 ReservationOpen"}},
		},
		"crash, then another template": {
			reason:   "no machine is made of a template that is no longer there",
			snapshot: snapshot(newPool(2, 2, hasReserved(0, 2, "r0")), newMachine(0, outdated)),
			want:     planned{Discard: []int64{1}, Next: 2, Finish: true, Deferred: []string{"Create 1 ReservationOpen"}},
		},
		"crash, and the bundle is gone": {
			reason:   "whether the reservation is still good is known when the problem is over",
			snapshot: with(snapshot(newPool(2, 2, hasReserved(0, 2, "r1"))), func(s *Snapshot) { s.Revision = "" }),
			want:     planned{Next: 2, Deferred: []string{"Create 2 Stalled"}},
		},
		"crash, the template is gone": {
			reason:   "the machines wait for the problem's end, and the reservation with them",
			snapshot: with(snapshot(newPool(2, 2, hasReserved(0, 2, "r1"))), stalledBy),
			want:     planned{Next: 2, Deferred: []string{"Create 2 Stalled"}},
		},
		"an old status is put back": {
			reason:   "its reservation was over long ago, as the record says: those names were used",
			snapshot: snapshot(newPool(2, 2, hasReserved(0, 2, "r1"), hasRecord("5"))),
			want:     planned{Discard: []int64{0, 1}, Next: 5, Finish: true, Deferred: []string{"Create 2 ReservationOpen"}},
		},
		"an old reservation is put back": {
			reason:   "names of machines that are known to be gone are not used again",
			snapshot: with(snapshot(newPool(3, 3, hasReserved(0, 3, "r1"), hasRecord("3"))), hasGone(0, 2)),
			want:     planned{Create: []int64{1}, Discard: []int64{0, 2}, Next: 3, Finish: true, Deferred: []string{"Create 2 ReservationOpen"}},
		},
		"status and record are set back": {
			reason:   "the next name is beyond all that are known to be gone",
			snapshot: with(snapshot(newPool(1, 1)), hasGone(6, 4)),
			want:     planned{Create: []int64{7}, Reserve: "7+1 r1", Next: 8, Finish: true},
		},
		"others' machines are gone": {
			reason:   "that says nothing",
			snapshot: with(snapshot(newPool(1, 0)), func(s *Snapshot) { s.Gone = []string{"others-abcde-6", "workers", "x"} }),
			want:     planned{Create: []int64{0}, Reserve: "0+1 r1", Next: 1, Finish: true},
		},
		"reservation seen in the cache": {
			reason:   "a replay rests on a live read",
			snapshot: with(snapshot(newPool(2, 2, hasReserved(0, 2, "r1"))), cached),
			want:     planned{Next: 2, Deferred: []string{"Create 2 CacheUnconfirmed"}},
		},
		"machines are lacking in the cache": {
			reason:   "the leader before us may have made them",
			snapshot: with(snapshot(newPool(1, 1)), cached),
			want:     planned{Next: 1, Deferred: []string{"Create 1 CacheUnconfirmed"}},
		},
		"too many machines in the cache": {
			reason:   "the leader before us may have deleted others",
			snapshot: with(snapshot(newPool(0, 1), newMachine(0)), cached),
			want:     planned{Next: 1, Deferred: []string{"Delete 1 CacheUnconfirmed"}},
		},
		"old status": {
			reason:   "a status from before the reservation releases no machine of it",
			snapshot: snapshot(newPool(1, 1), newMachine(0), newMachine(1, leaving)),
			want:     planned{Next: 2},
		},
		"name taken": {
			reason: "a name that a foreign Node has is passed over and never used",
			snapshot: with(snapshot(newPool(2, 0)), func(s *Snapshot) {
				s.Nodes = map[string]*corev1.Node{newMachine(0).Name: {}}
			}),
			want: planned{Create: []int64{1, 2}, Reserve: "0+3 r1", Next: 3, Finish: true},
		},
		"name taken during a crash": {
			reason: "a reserved name that a foreign Node got meanwhile is given up",
			snapshot: with(snapshot(newPool(2, 2, hasReserved(0, 2, "r1"))), func(s *Snapshot) {
				s.Nodes = map[string]*corev1.Node{newMachine(1).Name: {}}
			}),
			want: planned{Create: []int64{0}, Discard: []int64{1}, Next: 2, Finish: true, Deferred: []string{"Create 1 ReservationOpen"}},
		},
		"foreign name": {
			reason:   "a Machine with the pool's label and another name counts, and is never held",
			snapshot: snapshot(newPool(0, 0), newMachine(0, leaving, func(m *clusterv1.Machine) { m.Name = "copied" })),
			want:     planned{Release: []int64{-1}},
		},
		"old revisions": {
			reason: "revisions that no machine was made from go where the history has no room for them, the present one stays",
			snapshot: with(snapshot(newPool(1, 1, keepsRevisions(0)), newMachine(0, outdated)), func(s *Snapshot) {
				s.StoredRevisions = []string{"r1", "r0", "older"}
			}),
			want: planned{Next: 1, Prune: []string{"older"}},
		},
		"old revisions while machines are made": {
			reason: "no revision goes while a reservation might name it",
			snapshot: with(snapshot(newPool(1, 1)), func(s *Snapshot) {
				s.StoredRevisions = []string{"older"}
			}),
			want: planned{Create: []int64{1}, Reserve: "1+1 r1", Next: 2, Finish: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := summarise(Plan(tc.snapshot))
			for _, list := range []*[]int64{&tc.want.Create, &tc.want.Discard, &tc.want.Delete, &tc.want.Release} {
				if *list == nil {
					*list = []int64{}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestVictimOrder(t *testing.T) {
	machines := []*clusterv1.Machine{
		newMachine(0), newMachine(1), newMachine(2, outdated), newMachine(3, unready), newMachine(4, deleteFirst),
		newMachine(5, outdated, unready), newMachine(6, bornAtEpoch), newMachine(7, deleteFirst, unready),
	}
	want := []int64{7, 4, 5, 3, 2, 1, 6, 0}
	for replicas := range int32(len(machines)) {
		result := Plan(snapshot(newPool(replicas, 8), machines...))
		if diff := cmp.Diff(want[:len(machines)-int(replicas)], ordinals(result, Delete)); diff != "" {
			t.Errorf("annotated, unready, outdated, newest first, and at one age the higher ordinal; replicas %d (-want +got):\n%s", replicas, diff)
		}
	}
	reasons := map[int64]string{
		7: "annotated fleet.drover.dev/delete-first", 5: "not ready", 2: "of an older template", 1: "the newest",
	}
	for _, action := range Plan(snapshot(newPool(0, 8), machines...)).Of(Delete) {
		for ordinal, reason := range reasons {
			want := "the pool was scaled down to 0, and it is " + reason
			if action.Name == newMachine(ordinal).Name && action.Reason != want {
				t.Errorf("the reason says why this victim: got %q, want %q", action.Reason, want)
			}
		}
	}
}

// TestClusterAPIsAnnotationIsWorthAsMuchAsOurs, so that what drives MachineDeployments drives pools as well: cluster-autoscaler
// says in this way which node it has emptied.
func TestClusterAPIsAnnotationIsWorthAsMuchAsOurs(t *testing.T) {
	deleteMachine := func(m *clusterv1.Machine) {
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations[clusterv1.DeleteMachineAnnotation] = ""
	}
	machines := []*clusterv1.Machine{
		newMachine(0, deleteMachine), newMachine(1, deleteFirst), newMachine(2, deleteFirst, deleteMachine), newMachine(3, deleteMachine), newMachine(4, unready),
	}
	result := Plan(snapshot(newPool(0, 5), machines...))
	if diff := cmp.Diff([]int64{3, 2, 1, 0, 4}, ordinals(result, Delete)); diff != "" {
		t.Errorf("either annotation goes before what is not ready, and of these the newest first (-want +got):\n%s", diff)
	}
	for i, annotation := range []string{clusterv1.DeleteMachineAnnotation, v1alpha1.DeleteFirstAnnotation} {
		if reason := result.Of(Delete)[2*i].Reason; !strings.HasSuffix(reason, "it is annotated "+annotation) {
			t.Errorf("the reason says by what: %q, want %s", reason, annotation)
		}
	}
}

// TestMachinesThatWereChangedInPlaceStay: what counts is what they run, not what they were made from.
func TestMachinesThatWereChangedInPlaceStay(t *testing.T) {
	s := snapshot(newPool(2, 9), newMachine(0, outdated), newMachine(1, outdated), newMachine(2, outdated))
	hasAgents(runs(0, "r0"), runs(1, "r1"), runs(2, "r1"))(&s)
	result := Plan(s)
	if got := ordinals(result, Delete); !slices.Equal(got, []int64{0}) {
		t.Errorf("%v are deleted, want the one that does not run the template yet", got)
	}
	s = snapshot(newPool(2, 9), newMachine(0, outdated), newMachine(1, outdated), newMachine(2))
	hasAgents(runs(0, "r1"), runs(1, "r1"), runs(2, "r1"))(&s)
	deletes := Plan(s).Of(Delete)
	if len(deletes) != 1 || deletes[0].Name != newMachine(2).Name || !strings.HasSuffix(deletes[0].Reason, "it is the newest") {
		t.Errorf("all run the template, and yet the newest is not the one to go: %+v", deletes)
	}
	s = snapshot(newPool(1, 9), newMachine(0, outdated), newMachine(1, outdated, func(m *clusterv1.Machine) {
		m.Annotations = map[string]string{v1alpha1.ToldRevisionAnnotation: "r1"}
	}))
	if got := ordinals(Plan(s), Delete); !slices.Equal(got, []int64{0}) {
		t.Errorf("somebody deleted all NodeAgents, and %v are deleted, want the one that was not told the template", got)
	}
}

func TestBatches(t *testing.T) {
	up := Plan(snapshot(newPool(1200, 0)))
	if got := summarise(up); len(got.Create) != MaxBatch || got.Reserve != "0+500 r1" || !slices.Equal(got.Deferred, []string{"Create 700 BatchFull"}) || up.RequeueAfter == 0 {
		t.Errorf("a large pool is made in batches, one after the other: %d created, reserved %s, deferred %v, again after %s",
			len(got.Create), got.Reserve, got.Deferred, up.RequeueAfter)
	}
	var machines []*clusterv1.Machine
	for i := range int64(700) {
		machines = append(machines, newMachine(i))
	}
	down := Plan(snapshot(newPool(0, 700), machines...))
	if got := summarise(down); len(got.Delete) != MaxBatch || !slices.Equal(got.Deferred, []string{"Delete 200 BatchFull"}) {
		t.Errorf("a large pool is deleted in batches: %d deleted, deferred %v", len(got.Delete), got.Deferred)
	}
}

func TestWhatWasRefusedIsTriedAgainWhenItsTimeHasCome(t *testing.T) {
	s := snapshot(newPool(1, 0))
	s.Refused = &Refusal{Name: "m", Message: "quota", Until: s.Now.Add(time.Minute)}
	if after := Plan(s).RequeueAfter; after != time.Minute {
		t.Errorf("it is planned again after %s", after)
	}
	s.Problems = []Problem{{Reason: v1alpha1.ReasonTemplateNotFound, RetryAfter: time.Second}}
	if after := Plan(s).RequeueAfter; after != time.Second {
		t.Errorf("what is to be looked at before that is: after %s", after)
	}
}

func TestEveryNameTaken(t *testing.T) {
	s := snapshot(newPool(1, 0))
	s.Nodes = map[string]*corev1.Node{}
	for i := range int64(maxReserved) {
		s.Nodes[newMachine(i).Name] = &corev1.Node{}
	}
	result := Plan(s)
	if result.Reserve != nil || len(result.Actions) > 0 {
		t.Errorf("no machine gets a name that is taken: %+v", summarise(result))
	}
	status, _ := Report(s, result, Outcome{})
	if c := condition(status, v1alpha1.StalledCondition); c == nil || c.Reason != v1alpha1.ReasonNodeNameTaken || result.RequeueAfter != retryTaken {
		t.Errorf("a pool whose names are all taken says so and looks again: %+v, after %s", c, result.RequeueAfter)
	}
}

func condition(status v1alpha1.NodePoolStatus, conditionType string) *metav1.Condition {
	for i := range status.Conditions {
		if status.Conditions[i].Type == conditionType {
			return &status.Conditions[i]
		}
	}
	return nil
}

func TestPlanLeavesItsInputAlone(t *testing.T) {
	s := snapshot(newPool(1, 3, hasReserved(2, 1, "r1")), newMachine(0), newMachine(1, leaving))
	pool, machine := s.Pool.DeepCopy(), s.Machines[1].DeepCopy()
	result := Plan(s)
	Report(s, result, Outcome{Created: result.Of(Create), ReservationFinished: true})
	if diff := cmp.Diff(pool, s.Pool); diff != "" {
		t.Errorf("the pool is from a cache (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(machine, s.Machines[1]); diff != "" {
		t.Errorf("the Machines are from a cache (-before +after):\n%s", diff)
	}
}
