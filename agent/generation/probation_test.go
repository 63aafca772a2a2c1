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
	r.after(holdFor + 2*judgeEvery)
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
			{holdFor - judgeEvery, v1alpha1.PhaseProbation, "r1"},
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
				since := time.Since(began) - proveWithin + holdFor/2
				return Verdict{Healthy: since > 0 && (lasts || since < holdFor*3/4), Reason: "ProbeFailed", Message: "slow"}
			}
			r.Want(revision("r2", 2))
			r.after(proveWithin + holdFor)
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
