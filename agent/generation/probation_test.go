package generation

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func (r *rig) phase() v1alpha1.NodeAgentPhase {
	_, phase := r.Progress()
	return phase
}

// good is what a restart would go back to.
func (r *rig) good() string {
	if good := r.kept().Good; good != nil {
		return good.Spec.Revision
	}
	return ""
}

// proved has the first generation run and prove itself.
func (r *rig) proved() {
	r.t.Helper()
	r.start()
	r.after(HoldFor + 2*judgeLoneEvery)
	if r.phase() != v1alpha1.PhaseCommitted || r.good() != "r1" {
		r.t.Fatalf("the first generation is %s, and %q is good", r.phase(), r.good())
	}
}

// ill has a revision be judged so.
func (r *rig) ill(name string, v Verdict) {
	r.judge = func(revision string) Verdict {
		if revision == name {
			return v
		}
		return Verdict{Healthy: true}
	}
}

var hung = Verdict{Component: "kubelet", Reason: "ProbeFailed", Message: "kubelet does not answer"}

func TestASuccessorProvesItself(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.slow["r2 fetch"], r.slow["r2 apply"] = time.Second, time.Second
		r.Want(revision("r2", 2))
		for _, c := range []struct {
			wait time.Duration
			want v1alpha1.NodeAgentPhase
			good string
		}{
			{0, v1alpha1.PhaseStaging, "r1"},
			{time.Second, v1alpha1.PhaseActivating, "r1"},
			{time.Second, v1alpha1.PhaseProbation, "r1"},
			{HoldFor - judgeEvery, v1alpha1.PhaseProbation, "r1"},
			{3 * judgeEvery, v1alpha1.PhaseCommitted, "r2"},
		} {
			r.after(c.wait)
			if r.phase() != c.want || r.good() != c.good {
				t.Errorf("it is %s and %s is good, want %s and %s", r.phase(), r.good(), c.want, c.good)
			}
		}
		if got := r.kept(); got.Previous != "r1" || got.Candidate != nil || got.Failed != nil {
			t.Errorf("the journal has %+v", got)
		}
	})
}

func TestTheFirstMayProveItselfBeforeItsSuccessorsTurn(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.ill("r2", Verdict{Hopeless: true, Message: "no"})
		r.start()
		r.after(judgeLoneEvery + time.Second)
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: no")
	})
}

func TestASuccessorDoesNotWaitForAFirstThatIsNotWell(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.ill("r1", hung)
		r.start()
		r.after(judgeLoneEvery + time.Second)
		r.Want(revision("r2", 2))
		r.after(time.Second)
		r.want("runs r2 (generation 2)")
	})
}

func TestWhatIsNotDurableIsNotGood(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.fail["r1 settle"] = errNoRoom
		r.start()
		r.after(HoldFor + 2*judgeLoneEvery)
		if r.phase() != v1alpha1.PhaseProbation || r.good() != "" {
			t.Errorf("it is %s, and %q is good", r.phase(), r.good())
		}
		delete(r.fail, "r1 settle")
		r.after(judgeLoneEvery)
		if r.phase() != v1alpha1.PhaseCommitted || r.good() != "r1" {
			t.Errorf("with room on the disk it is %s, and %q is good", r.phase(), r.good())
		}
	})
}

func TestWhatDoesNotProveItselfIsRolledBackAndDenied(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r2", hung)
		r.Want(revision("r2", 2))
		r.after(proveWithin - time.Second)
		r.want("runs r2 (generation 2)")
		if got := r.after(3 * time.Second); !strings.HasSuffix(got, "r1 check again, r1 fetch, r1 apply") {
			t.Errorf("it did: %s", got)
		}
		r.want("runs r1 (generation 0); RolledBack: kubelet does not answer")
		if !r.Obstacle().Running {
			t.Error("the node counts as one that runs nothing")
		}
		if r.phase() != v1alpha1.PhaseRolledBack || r.good() != "r1" {
			t.Errorf("it is %s, and %s is good", r.phase(), r.good())
		}
		if f := r.kept().Failed; f == nil || f.Revision != "r2" || f.Component != "kubelet" || f.Reason != "ProbeFailed" || f.Time.IsZero() {
			t.Errorf("it failed because of %+v", f)
		}

		r.Want(revision("r2", 2))
		if got := r.after(time.Hour); strings.Contains(got, "r2") {
			t.Errorf("what failed is tried again: %s", got)
		}
		again := revision("r2", 3)
		r.Want(again) // another generation of the same
		if got := r.after(time.Hour); strings.Contains(got, "r2") {
			t.Errorf("what failed is tried again, as the NodeAgent has another generation: %s", got)
		}

		r.Want(revision("r1", 4))
		synctest.Wait()
		r.want("runs r1 (generation 4)")
		r.judge = func(string) Verdict { return Verdict{Healthy: true} }
		r.Want(revision("r2", 5))
		r.after(time.Minute)
		if r.good() != "r2" || r.kept().Failed != nil {
			t.Errorf("what is wanted anew is not tried, or still counts as failed: %s", r.state())
		}
	})
}

// with has a NodeAgent name another API server.
func with(agent *v1alpha1.NodeAgent, server string) *v1alpha1.NodeAgent {
	agent.Spec.Cluster.Server = server
	return agent
}

// The node may have pods again: a revision of another minor version was drained for once, and facts change by themselves.
func TestADeniedRevisionIsNotTriedWithOtherFactsOfTheClusterWhichTheGoodOneTakes(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r2", Verdict{Hopeless: true, Message: "no"})
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		goesBy := func(when, server string) {
			t.Helper()
			running, state := r.Running().Spec, r.kept()
			if running.Revision != "r1" || running.Cluster.Server != server || state.Good.Spec.Cluster.Server != server || r.phase() != v1alpha1.PhaseRolledBack {
				t.Errorf("%s the node is %s with %s by %q, and %q is good", when, r.phase(), running.Revision, running.Cluster.Server, state.Good.Spec.Cluster.Server)
			}
			if state.Failed == nil || state.Failed.Revision != "r2" || !state.Failed.Denied || state.Candidate != nil {
				t.Errorf("%s the journal has %+v", when, state)
			}
			r.want("runs r1 (generation 0); RolledBack: no")
		}
		r.Want(with(revision("r2", 3), "b"))
		if got := r.after(time.Minute); got != "r1 check, r1 fetch, r1 apply" {
			t.Errorf("with other facts it did: %s", got)
		}
		goesBy("with other facts", "b")
		r.restart()
		r.Want(with(revision("r2", 3), "b"))
		if got := r.after(time.Minute); strings.Contains(got, "r2") {
			t.Errorf("after a restart it did: %s", got)
		}
		goesBy("after a restart", "b")
		r.Want(revision("r2", 4))
		r.after(time.Minute)
		goesBy("with the former facts", "")

		moved := revision("r2", 5)
		moved.Spec.Artifacts = []v1alpha1.Artifact{{Architecture: "amd64", Image: "registry.example/b@sha256:1"}}
		r.Want(moved)
		r.after(time.Minute)
		again := moved.DeepCopy()
		again.Generation, again.Spec.Artifacts[0].Image = 6, "mirror.example/b@sha256:1"
		r.Want(again)
		if got := r.after(time.Minute); strings.Contains(got, "r2") {
			t.Errorf("its bundle was moved, and it did: %s", got)
		}

		r.judge = func(string) Verdict { return Verdict{Healthy: true} }
		r.Want(with(revision("r3", 7), "b"))
		r.after(time.Minute)
		r.want("runs r3 (generation 7)")
	})
}

func TestFactsThatTheGoodRevisionFailsByAreDeniedBesideTheRevision(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.judge = func(revision string) Verdict {
			return Verdict{Healthy: revision != "r2" && r.Running().Spec.Cluster.Server != "bad", Hopeless: true, Reason: "Exited", Message: revision + " ended"}
		}
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		r.Want(with(revision("r2", 3), "bad"))
		r.after(time.Minute)
		const both = "runs r1 (generation 0); RolledBack: r2 ended; nor did the node work with the facts of the cluster as they are now: r1 ended"
		r.want(both)
		r.restart()
		r.Want(with(revision("r2", 3), "bad"))
		if got := r.after(time.Minute); got != "" {
			t.Errorf("what failed is tried again: %s", got)
		}
		r.want(both)

		r.Want(with(revision("r2", 4), "good"))
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: r2 ended")
		if state := r.kept(); state.Good.Spec.Cluster.Server != "good" || state.FailedFacts != nil {
			t.Errorf("the journal has %+v", state)
		}
		r.Want(with(revision("r2", 5), "bad"))
		if got := r.after(time.Second); got == "" {
			t.Error("what is asked for anew is not tried")
		}
	})
}

func TestFactsThatFailedAreDeniedAndOthersAreNot(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.judge = func(string) Verdict {
			return Verdict{Healthy: r.Running().Spec.Cluster.Server != "bad", Hopeless: true, Message: "no"}
		}
		r.Want(with(revision("r1", 2), "bad"))
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: no")
		if got := r.after(time.Hour); strings.Contains(got, "apply") {
			t.Errorf("what failed is tried again: %s", got)
		}
		r.Want(with(revision("r1", 3), "good"))
		r.after(time.Minute)
		r.want("runs r1 (generation 3)")
		if state := r.kept(); state.Good.Spec.Cluster.Server != "good" || state.Failed != nil {
			t.Errorf("the journal has %+v", state)
		}
	})
}

// Of two changes at a time nobody knows which is at fault.
func TestNothingElseIsActivatedWhileTheAgentIsChanged(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		claims := func(when string, want, forced bool) {
			t.Helper()
			if got := r.Claim(false); got != want {
				t.Errorf("%s: the agent may be changed: %t, want %t", when, got, want)
			}
			if got := r.Claim(true); got != forced {
				t.Errorf("%s: it may be by force: %t, want %t", when, got, forced)
			}
			if r.Rest() && forced {
				t.Errorf("%s: the machine is repaired while the agent is changed", when)
			}
			r.Release()
			if got := r.Rest(); got != forced {
				t.Errorf("%s: the machine may be repaired: %t, want %t", when, got, forced)
			}
			if forced && r.Claim(true) {
				t.Errorf("%s: the agent is changed while the machine is repaired", when)
			}
			r.Resume()
		}
		claims("with nothing under way", true, true)
		r.fail["r2 fetch"] = errNoRoute
		r.Want(revision("r2", 2))
		r.after(time.Second)
		claims("with a bundle that cannot be fetched", false, true)
		delete(r.fail, "r2 fetch")
		r.slow["r2 plan"] = time.Second
		r.after(time.Second / 2)
		claims("while one is activated", false, false)
		r.after(5 * time.Second)
		claims("on probation", false, false)
		r.after(time.Minute)
		claims("when it has proved itself", true, true)

		r.Claim(false)
		r.Want(revision("r3", 3))
		if got := r.after(time.Minute); got != "r3 check, r3 fetch" {
			t.Errorf("while the agent is changed it did: %s", got)
		}
		r.want("runs r2 (generation 2)")
		r.Release()
		r.after(time.Minute)
		r.want("runs r3 (generation 3)")

		r.Rest()
		r.Want(revision("r5", 5))
		if got := r.after(time.Minute); got != "r5 check, r5 fetch" {
			t.Errorf("while the machine is repaired it did: %s", got)
		}
		r.Resume()
		r.after(time.Minute)
		r.want("runs r5 (generation 5)")

		r.stop()
		r.begin()
		r.Hold() // as an agent on trial does
		r.start()
		r.Want(revision("r6", 6))
		if got := r.after(time.Minute); got != "r6 check, r6 fetch" {
			t.Errorf("on trial it did: %s", got)
		}
		r.want("runs r5 (generation 5)")
		r.Release()
		r.after(time.Minute)
		r.want("runs r6 (generation 6)")
	})
}

func TestAMachineThatHasNothingYetWaitsForNoAgent(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.Hold()
		r.start()
		r.after(time.Second)
		r.want("runs r1 (generation 0)")
	})
}

func TestWhatIsDeniedStaysSoAfterARestart(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r2", Verdict{Hopeless: true, Message: "no"})
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		for range 2 {
			r.restart()
			r.Want(revision("r2", 2))
			if got := r.after(time.Minute); strings.Contains(got, "r2") {
				t.Errorf("what failed is tried again: %s", got)
			}
			r.want("runs r1 (generation 0); RolledBack: no")
		}
		r.restart()
		r.Want(revision("r1", 3)) // which was asked for while no agent ran
		synctest.Wait()
		r.Want(revision("r2", 4))
		if got := r.after(time.Minute); !strings.Contains(got, "r2 apply") {
			t.Errorf("what is asked for anew is not tried: %s", got)
		}
	})
}

func TestWhatFailedLastIsToldUntilItWorks(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		r.ill("r3", Verdict{Hopeless: true})
		r.Want(revision("r3", 3))
		r.after(time.Minute)
		if got := r.kept(); got.Previous != "r1" || got.Good.Spec.Revision != "r2" {
			t.Errorf("the journal has %+v", got)
		}
		r.Want(revision("r4", 4))
		r.after(time.Minute)
		if got := r.kept(); got.Previous != "r2" || got.Failed == nil || got.Failed.Revision != "r3" || got.Failed.Denied {
			t.Errorf("the journal has %+v", got)
		}
	})
}

// What ran before may be what is hopeless, and the reason for the change.
func TestWhatIsNotUpIsNotHopeless(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r1", Verdict{Hopeless: true})
		r.fail["r2 apply"] = errNoRoom
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		delete(r.fail, "r2 apply")
		r.after(2 * time.Minute)
		if r.good() != "r2" {
			t.Errorf("it %s", r.state())
		}
	})
}

// The verdict may be under way while the generation is activated.
func TestWhatRanBeforeIsNotWhatFails(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r1", Verdict{Hopeless: true})
		r.slow["r2 apply"] = 3 * time.Second
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		if r.good() != "r2" {
			t.Errorf("it %s", r.state())
		}
	})
}

func TestWhatBecameWellInTimeHasTheTimeToStaySo(t *testing.T) {
	for _, lasts := range []bool{true, false} {
		bubble(t, false, func(r *rig) {
			r.proved()
			began := time.Now()
			r.judge = func(string) Verdict {
				since := time.Since(began) - proveWithin + HoldFor/2
				return Verdict{Healthy: since > 0 && (lasts || since < HoldFor*3/4), Reason: "ProbeFailed", Message: "slow"}
			}
			r.Want(revision("r2", 2))
			r.after(proveWithin + HoldFor)
			if lasts && r.good() != "r2" {
				t.Errorf("it %s", r.state())
			} else if !lasts {
				r.want("runs r1 (generation 0); RolledBack: slow")
			}
		})
	}
}

// The API takes no status that has a failure without a reason.
func TestAFailureAlwaysHasAReason(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.Want(revision("r2", 2))
		r.after(time.Second)
		r.slow["r2 fetch"] = time.Hour
		r.restart()
		r.after(proveWithin + time.Minute)
		if f := r.kept().Failed; f == nil || f.Revision != "r2" || f.Reason == "" || f.Message == "" {
			t.Errorf("it failed because of %+v", f)
		}
	})
}

func TestNothingIsCollectedWhileNothingRuns(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r2", Verdict{Hopeless: true})
		r.fail["r1 fetch"] = errNoRoute
		r.Want(revision("r2", 2))
		if got := r.after(2 * collectEvery); strings.Contains(got, "collect") {
			t.Errorf("it did: %s", got)
		}
		delete(r.fail, "r1 fetch")
		r.after(2 * time.Minute)
		r.want("runs r1 (generation 0); RolledBack: ")
		if got := r.after(collectEvery); !strings.Contains(got, "r1 collect") {
			t.Errorf("then it did: %s", got)
		}
	})
}

func TestNothingIsDoneForWhatWasRolledBack(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r2", Verdict{Hopeless: true, Message: "no"})
		r.slow["r1 fetch"] = time.Minute
		r.flawed = "r2"
		r.Want(revision("r2", 2))
		r.after(5 * time.Second)
		r.want("shows r1 (generation 0); RolledBack: no")
		r.Rebuild()
		if got := r.after(30 * time.Second); got != "" {
			t.Errorf("it did: %s", got)
		}
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: no")
	})
}

func TestTheOneBeforeIsOnProbationAgainWhereItHadNotProvedItself(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.fail["r2 apply"] = errNoRoom
		r.Want(revision("r2", 2))
		r.after(time.Second)
		r.Want(revision("r1", 3))
		r.after(time.Minute)
		if r.good() != "r1" || r.phase() != v1alpha1.PhaseCommitted {
			t.Errorf("it %s, %s, and %q is good", r.state(), r.phase(), r.good())
		}
		if got := r.after(collectEvery); !strings.Contains(got, "r1 collect") {
			t.Errorf("something still counts as on probation: it did %s", got)
		}
	})
}

func TestItFailsForItsOwnFault(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r2", hung)
		r.fail["r3 fetch"] = errNoRoute
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		r.Want(revision("r3", 3))
		r.after(proveWithin)
		if f := r.kept().Failed; f == nil || f.Revision != "r2" || f.Message != hung.Message {
			t.Errorf("%+v failed", f)
		}
		r.want("runs r1 (generation 0); BundleFetchFailed: no route to host")
	})
}

func TestASuccessorThatCannotBeBegunIsNoFaultOfWhatIsOnProbation(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.fail["r3 plan"] = errNoRoom
		r.Want(revision("r2", 2))
		r.after(5 * time.Second)
		r.Want(revision("r3", 3))
		r.after(2 * proveWithin)
		r.want("runs r2 (generation 2); PreflightFailed: no space left")
		if r.good() != "r2" || r.kept().Failed != nil {
			t.Errorf("the journal has %+v", r.kept())
		}
	})
}

// Or else the one given up would be taken for good.
func TestWhoCannotTakeDownThatItGoesBackProvesNothingElse(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.start()
		r.fail["r2 apply"] = errNoRoom
		r.Want(revision("r2", 2))
		r.after(time.Second)
		room := r.full()
		r.Want(revision("r1", 3))
		r.after(time.Minute)
		room()
		r.after(time.Minute)
		r.want("runs r1 (generation 3)")
		if r.good() != "r1" {
			t.Errorf("the journal has %+v", r.kept())
		}
	})
}

func TestItFailsForItsOwnObstacle(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.Want(revision("r2", 2))
		r.after(5 * time.Second)
		r.fail["r2 check again"], r.fail["r3 fetch"] = errNoRoom, errNoRoute
		r.restart()
		r.Want(revision("r3", 3))
		r.after(proveWithin + time.Minute)
		if f := r.kept().Failed; f == nil || f.Revision != "r2" || f.Message != errNoRoom.Error() {
			t.Errorf("%+v failed", f)
		}
	})
}

func TestWhatIsHopelessIsRolledBackAtOnce(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r2", Verdict{Hopeless: true, Component: "containerd", Reason: "Exited", Message: "it ended 4 times", Exit: &v1alpha1.ComponentExit{LogTail: "bad flag"}})
		r.Want(revision("r2", 2))
		r.after(3 * time.Second)
		r.want("runs r1 (generation 0); RolledBack: it ended 4 times")
		if f := r.kept().Failed; f == nil || f.Exit == nil || f.Exit.LogTail != "bad flag" {
			t.Errorf("it failed because of %+v", f)
		}
	})
}

func TestWhatCannotBeActivatedIsRolledBack(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.fail["r2 apply"] = errNoRoom
		r.Want(revision("r2", 2))
		r.after(proveWithin - 2*time.Second)
		r.want("runs r1 (generation 0); PreflightFailed: no space left")
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: no space left")
		if r.kept().Candidate != nil {
			t.Error("a restart would try it again")
		}
	})
}

func TestHealthMustHoldWithoutABreak(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		looks := 0
		r.judge = func(string) Verdict {
			looks++
			return Verdict{Healthy: looks%8 != 0, Message: "flaps"}
		}
		r.Want(revision("r2", 2))
		r.after(proveWithin - 2*time.Second)
		if r.good() != "r1" {
			t.Error("what flaps has proved itself")
		}
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: flaps")
	})
}

func TestAnAPIServerThatCannotBeReachedIsNoVerdict(t *testing.T) {
	for _, recovers := range []bool{true, false} {
		bubble(t, false, func(r *rig) {
			r.proved()
			blind := hung
			blind.Blind = true
			r.ill("r2", blind)
			r.Want(revision("r2", 2))
			r.after(time.Hour)
			r.want("runs r2 (generation 2)")
			r.ill("r2", hung)
			r.after(sightWithin / 2)
			r.want("runs r2 (generation 2)")
			if recovers {
				r.ill("", hung)
			}
			r.after(sightWithin)
			if got := r.good() == "r2"; got != recovers {
				t.Errorf("it %s, and %s is good", r.state(), r.good())
			}
		})
	}
}

func TestTheFirstHasAllTheTimeThereIs(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.ill("r1", hung)
		r.start()
		r.after(time.Hour)
		r.want("runs r1 (generation 0)")
		if r.phase() != v1alpha1.PhaseProbation {
			t.Errorf("it is %s", r.phase())
		}
		for range 2 * maxAttempts {
			r.restart()
			r.after(time.Second)
			r.want("runs r1 (generation 0)")
		}
		r.judge = func(string) Verdict { return Verdict{Healthy: true} }
		r.after(time.Minute)
		if r.good() != "r1" {
			t.Error("it has not proved itself")
		}
	})
}

func TestWhatIsWantedInTheMidstOfAProbationTakesItsPlace(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r3", hung)
		r.Want(revision("r2", 2))
		r.after(5 * time.Second)
		r.Want(revision("r3", 3))
		r.after(time.Minute)
		if r.good() != "r1" {
			t.Errorf("%s is good, which had no time to prove itself", r.good())
		}
		r.after(proveWithin)
		r.want("runs r1 (generation 0); RolledBack: kubelet does not answer")
	})
}

func TestWhoGoesBackInTheMidstOfAProbationNeedsNone(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.Want(revision("r2", 2))
		r.after(5 * time.Second)
		r.Want(revision("r1", 3))
		synctest.Wait()
		r.want("runs r1 (generation 3)")
		if r.phase() != v1alpha1.PhaseCommitted || r.kept().Candidate != nil {
			t.Errorf("it is %s, and the journal has %+v", r.phase(), r.kept())
		}
		if got := r.after(collectEvery); !strings.Contains(got, "r1 collect") {
			t.Errorf("something still counts as on probation: it did %s", got)
		}
	})
}

func TestWhoGivesUpAnActivationIsDoneWithIt(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.fail["r2 apply"] = errNoRoom
		r.Want(revision("r2", 2))
		r.after(time.Second)
		r.Want(revision("r1", 3))
		if got := r.after(collectEvery); !strings.Contains(got, "r1 collect") || r.phase() != v1alpha1.PhaseCommitted {
			t.Errorf("something still counts as on probation: it is %s, and did %s", r.phase(), got)
		}
	})
}

// restart ends the agent, and begins another one.
func (r *rig) restart() {
	r.stop()
	r.begin()
	r.start()
}

func TestAProbationGoesOnAfterARestart(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.Want(revision("r2", 2))
		r.after(5 * time.Second)
		r.restart()
		r.want("runs r2 (generation 2)")
		if r.phase() != v1alpha1.PhaseProbation || r.good() != "r1" {
			t.Errorf("it is %s, and %s is good", r.phase(), r.good())
		}
		r.after(time.Minute)
		if r.good() != "r2" {
			t.Error("it did not prove itself")
		}
	})
}

func TestWhatBringsTheAgentDownWithItIsRolledBack(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.Want(revision("r2", 2))
		for range maxAttempts {
			r.after(time.Second)
			r.restart()
		}
		r.want("runs r1 (generation 0); RolledBack: the agent ended 3 times before it had proved itself")
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: the agent ended 3 times before it had proved itself")
	})
}

func TestWhatCannotBeBroughtBackIsRolledBack(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.Want(revision("r2", 2))
		r.after(5 * time.Second)
		r.fail["r2 fetch"] = errNoRoute
		r.restart()
		r.after(proveWithin + time.Minute)
		r.want("runs r1 (generation 0); RolledBack: no route to host")
		if f := r.kept().Failed; f == nil || f.Reason != v1alpha1.ReasonBundleFetchFailed {
			t.Errorf("it failed because of %+v", f)
		}
	})
}

func TestBundlesAreLeftAloneDuringAProbation(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.ill("r1", hung)
		r.start()
		if got := r.after(3 * collectEvery); strings.Contains(got, "collect") {
			t.Error("the bundle that one would go back to may be among those removed")
		}
	})
}

// An agent may be killed after anything that it wrote. The next one ends where it would have.
func TestAnAgentThatEndsAtAnyStepConverges(t *testing.T) {
	for name, c := range map[string]struct {
		judge func(string) Verdict
		good  string
	}{
		"healthy": {func(string) Verdict { return Verdict{Healthy: true} }, "r2"},
		"ill": {func(revision string) Verdict {
			return Verdict{Healthy: revision != "r2", Hopeless: true, Message: "no"}
		}, "r1"},
	} {
		t.Run(name, func(t *testing.T) {
			for step := range 12 {
				bubble(t, true, func(r *rig) {
					r.judge = c.judge
					steps, over := 0, make(chan struct{})
					r.changed = func() {
						if steps++; steps == step {
							close(over)
							runtime.Goexit() // nothing of what follows is done
						}
					}
					r.start()
					r.Want(revision("r2", 2))
					select {
					case <-over:
					case <-time.After(time.Hour):
						step = -1
					}
					r.restart()
					r.Want(revision("r2", 2))
					r.after(proveWithin * 2)
					if r.good() != c.good || r.kept().Candidate != nil || r.Running().Spec.Revision != c.good {
						t.Errorf("ended at step %d it %s, %s is good and the journal has %+v", step, r.state(), r.good(), r.kept())
					}
				})
			}
		})
	}
}

func TestAFullDiskDoesNotKeepANodeWithWhatFailed(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.Want(revision("r2", 2))
		r.after(time.Second)
		room := r.full()
		r.ill("r2", Verdict{Hopeless: true, Message: "no"})
		r.after(5 * time.Second)
		r.want("runs r1 (generation 0); RolledBack: no")
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: no")
		room()
		r.after(mendEvery)
		if got := r.kept(); got.Candidate != nil || got.Failed == nil || !got.Failed.Denied {
			t.Errorf("the journal has %+v", got)
		}
		r.restart()
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		r.want("runs r1 (generation 0); RolledBack: no")
	})
}

func TestAFullDiskDoesNotKeepANodeFromItsComponents(t *testing.T) {
	for _, onProbation := range []bool{false, true} {
		bubble(t, false, func(r *rig) {
			r.proved()
			want := "runs r1 (generation 0)"
			if onProbation {
				r.Want(revision("r2", 2))
				r.after(time.Second)
				want = "runs r2 (generation 2)"
			}
			r.stop()
			r.begin()
			room := r.full()
			r.start()
			r.want(want)
			r.Rebuild()
			if got := r.after(0); !strings.HasSuffix(got, "apply") {
				t.Errorf("when the Node's range changed it did: %q", got)
			}
			r.want(want)
			room()
			r.after(time.Minute)
			r.want(want)
			if r.phase() != v1alpha1.PhaseCommitted || r.kept().Candidate != nil {
				t.Errorf("it is %s, and the journal has %+v", r.phase(), r.kept())
			}
		})
	}
}

// Nothing depends on it how such a generation is, and each look takes from the machine what its components need to come up.
func TestWhatHasNothingToGoBackToIsLookedAtRarely(t *testing.T) {
	bubble(t, false, func(r *rig) {
		looks := 0
		r.judge = func(string) Verdict { looks++; return Verdict{Reason: "Starting"} }
		r.start()
		r.after(20 * judgeLoneEvery)
		if looks < 15 || looks > 20 {
			t.Errorf("it was looked at %d times in %s", looks, 20*judgeLoneEvery)
		}
	})
}

// The Node's pods would be taken out of their Services before the whole time has passed.
func TestWhatKeepsTheLeaseFromBeingRenewedIsRolledBackInTime(t *testing.T) {
	for reason, c := range map[string]struct {
		ill  func(since time.Duration) Verdict
		back bool
	}{
		"the kubelet does not come up": {func(time.Duration) Verdict { return Verdict{Urgent: true, Component: "kubelet"} }, true},
		"the kubelet comes up late": {func(since time.Duration) Verdict {
			return Verdict{Healthy: since > leaseWithin/2, Urgent: since <= leaseWithin/2}
		}, false},
		"it is urgent now and then": {func(since time.Duration) Verdict {
			return Verdict{Urgent: since%(leaseWithin/2) > 2*judgeEvery, Component: "kubelet"}
		}, false},
		"kube-proxy does not come up": {func(time.Duration) Verdict { return Verdict{Component: "kube-proxy"} }, false},
	} {
		t.Run(reason, func(t *testing.T) {
			bubble(t, false, func(r *rig) {
				r.proved()
				began := time.Now()
				r.judge = func(revision string) Verdict {
					if revision != "r2" {
						return Verdict{Healthy: true}
					}
					return c.ill(time.Since(began))
				}
				r.Want(revision("r2", 2))
				r.after(leaseWithin + 3*judgeEvery)
				if back := r.phase() == v1alpha1.PhaseRolledBack; back != c.back {
					t.Errorf("after %s it is %s", leaseWithin+3*judgeEvery, r.phase())
				}
			})
		})
	}
}

// It ends and is up again between two looks.
func TestWhatEndsAgainAndAgainIsNotWellWithoutABreak(t *testing.T) {
	const lives = HoldFor - 2*judgeEvery
	bubble(t, false, func(r *rig) {
		r.proved()
		began := time.Now()
		r.judge = func(string) Verdict {
			return Verdict{Healthy: true, Started: began.Add(time.Since(began).Truncate(lives))}
		}
		r.Want(revision("r2", 2))
		r.after(5 * HoldFor)
		if r.phase() != v1alpha1.PhaseProbation || r.good() != "r1" {
			t.Errorf("it is %s, and %q is good", r.phase(), r.good())
		}
	})
}

// The agent may be changed at the very moment at which a try is due.
func TestATryThatGivesWayToAnotherAgentIsMadeAfterIt(t *testing.T) {
	bubble(t, true, func(r *rig) {
		r.stop = func() {} // nothing runs
		l := &loop{Installer: r.Installer, collect: stopped()}
		l.next = l.stage(r.t.Context(), &Generation{}, &l.staging)
		defer l.drop(&l.next)
		l.next.tried = true
		r.Hold()
		l.install(r.t.Context(), l.next)
		r.Release()
		select {
		case <-l.successor().again():
		case <-time.After(time.Hour):
			t.Error("nobody tries again")
		}
	})
}

func TestASuccessorThatTheDiskDoesNotTakeIsGoneBackFrom(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.fail["r2 settle"] = errNoRoom
		r.Want(revision("r2", 2))
		r.after(proveWithin - time.Second)
		if r.phase() != v1alpha1.PhaseProbation {
			t.Errorf("before its time is over it is %s", r.phase())
		}
		r.after(5 * time.Second)
		r.want("runs r1 (generation 0); RolledBack: its bundle could not be made durable: " + errNoRoom.Error())
		if failed := r.kept().Failed; failed == nil || failed.Reason != v1alpha1.ReasonBundleFetchFailed {
			t.Errorf("the journal has %+v", failed)
		}
	})
}

func TestTheBundleOfAGenerationToGoBackToIsDurableWhenItIsFetchedAnew(t *testing.T) {
	bubble(t, true, func(r *rig) {
		r.fail["r1 settle"] = errNoRoom // which does not keep the node from its components
		r.start()
		r.after(time.Second)
		r.want("runs r1 (generation 0)")
		if got := strings.Join(r.settled, ", "); got != "r1" {
			t.Errorf("the bundles made durable are those of %q", got)
		}
		r.Want(revision("r2", 2))
		r.after(5 * time.Second)
		if got := strings.Join(r.settled, ", "); got != "r1" {
			t.Errorf("before it has proved itself the bundles made durable are those of %q", got)
		}
	})
}

func TestADeniedRevisionIsToldOfWhileTheGoodOneTakesOtherFacts(t *testing.T) {
	bubble(t, false, func(r *rig) {
		r.proved()
		r.ill("r2", Verdict{Hopeless: true, Message: "no"})
		r.Want(revision("r2", 2))
		r.after(time.Minute)
		r.fail["r1 check"], r.slow["r1 fetch"] = errNoRoute, time.Minute
		r.Want(with(revision("r2", 3), "b"))
		r.after(time.Second)
		r.want("runs r1 (generation 0); PreflightFailed: " + errNoRoute.Error())
		delete(r.fail, "r1 check")
		r.after(2 * mendEvery)
		r.want("runs r1 (generation 0); RolledBack: no")
	})
}

func TestBothReasonsAreToldHoweverLongTheyAre(t *testing.T) {
	long := strings.Repeat("no ", v1alpha1.MaxMessage)
	state := State{Failed: &Failure{Message: "first: " + long}, FailedFacts: &Failure{Message: "second: " + long}}
	if told := v1alpha1.BoundMessage(state.Refusal()); !strings.HasPrefix(told, "first: no") || !strings.Contains(told, "facts of the cluster as they are now: second: no") {
		t.Errorf("it is told: %s", told)
	}
}
