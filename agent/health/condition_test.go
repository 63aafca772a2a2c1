package health

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestAConditionFollowsFromTheEvidence(t *testing.T) {
	now := time.Unix(1000, 0)
	refused, full := errors.New("connection refused"), &Failure{Reason: fleetv1.ReasonDiskPressure, Message: "the disk is full"}
	process := Probe{Condition: fleetv1.KubeletHealthyCondition, Component: fleetv1.ComponentKubelet, Healthy: "kubelet syncs pods"}
	machine := Probe{Condition: fleetv1.DiskHealthyCondition, Healthy: "there is room"}
	off := process
	off.Disabled = true
	const spent = "10 restarts within 2m0s did not mend it"
	in := func(state fleetv1.ComponentState, age time.Duration) *fleetv1.ComponentStatus {
		return &fleetv1.ComponentStatus{Name: fleetv1.ComponentKubelet, State: state, StartedAt: metav1.NewTime(now.Add(-age))}
	}
	ended := func(exit *fleetv1.ComponentExit) *fleetv1.ComponentStatus {
		c := in(fleetv1.ComponentBackOff, time.Minute)
		c.LastExit = exit
		return c
	}
	for _, c := range []struct {
		reason   string
		probe    Probe
		evidence Evidence
		want     string
	}{
		{"what is turned off is well, whatever it answers", off, Evidence{Asked: true, Err: refused}, "True Disabled: turned off by the pool's template"},

		{"before its process there is nobody to answer", process, Evidence{Asked: true, Err: refused}, "False Starting: kubelet is not started yet"},
		{"a dependency is waited for", process, Evidence{Component: in(fleetv1.ComponentWaiting, 0)}, "False WaitingForDependency: kubelet waits for what it depends on"},
		{"the first failures of a start are nobody's business", process, Evidence{Component: in(fleetv1.ComponentStarting, time.Second), NotReady: "no socket", Asked: true, Err: refused},
			"False Starting: kubelet was started and is not healthy yet"},
		{"a start that takes long says why, in the component's own words first", process, Evidence{Component: in(fleetv1.ComponentStarting, time.Minute), NotReady: "no socket", Asked: true, Err: refused},
			"False Starting: kubelet was started and is not healthy yet: no socket"},
		{"or else in the probe's", process, Evidence{Component: in(fleetv1.ComponentStarting, time.Minute), Asked: true, Err: refused}, "False Starting: kubelet was started and is not healthy yet: connection refused"},
		{"or it does not know", process, Evidence{Component: in(fleetv1.ComponentStarting, time.Minute)}, "False Starting: kubelet was started and is not healthy yet"},
		{"a component that is replaced is no failure", process, Evidence{Component: in(fleetv1.ComponentStopped, time.Minute), Asked: true, Err: refused},
			"False Starting: kubelet was stopped to be started with another configuration"},

		{"a signal is named", process, Evidence{Component: ended(&fleetv1.ComponentExit{Signal: "SIGKILL"}), Asked: true}, "False Exited: kubelet was ended by SIGKILL and is about to be started again"},
		{"so is an exit code", process, Evidence{Component: ended(&fleetv1.ComponentExit{Code: ptr.To(int32(1))}), Asked: true}, "False Exited: kubelet ended with code 1 and is about to be started again"},
		{"one that never ran left a last word only", process, Evidence{Component: ended(&fleetv1.ComponentExit{LogTail: "exec format error"})}, "False Exited: kubelet could not be started or ended unseen and is about to be started again"},
		{"an adopted one may end unseen", process, Evidence{Component: ended(&fleetv1.ComponentExit{})}, "False Exited: kubelet ended unseen and is about to be started again"},
		{"or leave nothing at all", process, Evidence{Component: ended(nil)}, "False Exited: kubelet ended and is about to be started again"},

		{"one that hung was ended by us", process, Evidence{Component: ended(&fleetv1.ComponentExit{Signal: "SIGKILL", Reason: fleetv1.ReasonHung})}, "False Exited: kubelet hung, was ended by the agent and is about to be started again"},
		{"one that does not answer says what becomes of it", process, Evidence{Component: in(fleetv1.ComponentRunning, time.Hour), Asked: true, Err: refused, Silence: "it is restarted soon"}, "False ProbeFailed: connection refused; it is restarted soon"},

		{"one that restarts do not mend says how it ended last, and how often that was tried", process,
			Evidence{Component: ended(&fleetv1.ComponentExit{Code: ptr.To(int32(1)), LogTail: "starting\nno such \"flag\"\n"}), Exhausted: spent},
			`False RepairExhausted: kubelet ended with code 1, after saying "no such \"flag\""; 10 restarts within 2m0s did not mend it`},
		{"or what is wrong with it as it runs", process, Evidence{Component: in(fleetv1.ComponentRunning, time.Hour), Asked: true, Err: refused, Exhausted: spent}, "False RepairExhausted: connection refused; " + spent},
		{"one that was just restarted has not proved itself", process, Evidence{Component: in(fleetv1.ComponentRunning, 59*time.Second), Asked: true, Exhausted: spent},
			"False RepairExhausted: kubelet keeps losing what it keeps in the kernel; " + spent},
		{"a minute later it has", process, Evidence{Component: in(fleetv1.ComponentRunning, time.Minute), Asked: true, Exhausted: spent}, "True Healthy: kubelet syncs pods"},
		{"of one that was adopted still nothing is known", process, Evidence{Component: in(fleetv1.ComponentRunning, time.Hour), Exhausted: spent}, "Unknown Starting: not looked at yet"},
		{"one that gets another configuration may be mended by it", process, Evidence{Component: in(fleetv1.ComponentStopped, time.Hour), Exhausted: spent},
			"False Starting: kubelet was stopped to be started with another configuration"},

		{"one that was seen to start is not well before it was asked", process, Evidence{Component: in(fleetv1.ComponentRunning, time.Second), Started: true}, "False Starting: kubelet was started and is not healthy yet"},
		{"of one that was adopted nothing is known", process, Evidence{Component: in(fleetv1.ComponentRunning, time.Hour)}, "Unknown Starting: not looked at yet"},
		{"one that answers is well", process, Evidence{Component: in(fleetv1.ComponentRunning, time.Hour), Asked: true}, "True Healthy: kubelet syncs pods"},
		{"one that runs and does not answer is not", process, Evidence{Component: in(fleetv1.ComponentRunning, time.Hour), Asked: true, Err: refused}, "False ProbeFailed: connection refused"},

		{"a machine is asked at once", machine, Evidence{}, "Unknown Starting: not looked at yet"},
		{"and needs no process to be well", machine, Evidence{Asked: true}, "True Healthy: there is room"},
		{"nor to be ill", machine, Evidence{Asked: true, Err: refused}, "False ProbeFailed: connection refused"},
		{"a failure with a reason of its own keeps it", machine, Evidence{Asked: true, Err: full}, "False DiskPressure: the disk is full"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			c.evidence.Now = now
			got := c.probe.Judge(c.evidence)
			if text := string(got.Status) + " " + got.Reason + ": " + got.Message; text != c.want || got.Type != c.probe.Condition {
				t.Errorf("%s: got %q, want %q", got.Type, text, c.want)
			}
		})
	}
}

func TestAnAnswerOfAnyLengthFitsACondition(t *testing.T) {
	p := Probe{Condition: fleetv1.DiskHealthyCondition}
	if got := p.Judge(Evidence{Asked: true, Err: errors.New(strings.Repeat("ü", 5000))}); len(got.Message) > fleetv1.MaxMessage {
		t.Errorf("the API server takes no message of %d bytes", len(got.Message))
	}
}
