package health

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// startingFor is how long a component that was just started may be unhealthy without its answers being shown: they
// change from one attempt to the next.
const startingFor = 10 * time.Second

const (
	// provenAfter is how long a component must have run since it was started to be well again that restarts did not mend before.
	provenAfter = time.Minute
	// maxLastWords is how much of a component's last words is quoted: what is on the pool is bounded, and says more than these.
	maxLastWords = 200
)

// Evidence is all that a condition is derived from.
type Evidence struct {
	// Component is the process behind the probe as the supervisor sees it; nil when there is none, or none yet.
	Component *fleetv1.ComponentStatus
	// NotReady is why the component is not ready, by its own word; empty when nobody knows.
	NotReady string
	// Asked says that the probe's question was answered, and Err is the answer: nil is the good one.
	Asked bool
	Err   error
	// Started says that the component was seen to start, not just to run.
	Started bool
	// Silence is what becomes of a process that does not answer at all, empty when it does.
	Silence string
	// Exhausted says that restarts did not mend the component, empty for while they may.
	Exhausted string
	Now       time.Time
}

// Judge derives a condition, without its transition time. The state of the process comes before what its probe said,
// because it is known sooner.
func (p *Probe) Judge(e Evidence) metav1.Condition {
	status, reason, message := p.judge(e)
	if e.unmended(status) {
		status, reason, message = metav1.ConditionFalse, fleetv1.ReasonRepairExhausted, e.lastSeen()+"; "+e.Exhausted
	}
	return metav1.Condition{Type: p.Condition, Status: status, Reason: reason, Message: fleetv1.BoundMessage(message)}
}

func (p *Probe) judge(e Evidence) (metav1.ConditionStatus, string, string) {
	if p.Disabled {
		return metav1.ConditionTrue, fleetv1.ReasonDisabled, "turned off by the pool's template"
	}
	if e.Component != nil {
		name := e.Component.Name
		switch e.Component.State {
		case fleetv1.ComponentBackOff:
			return metav1.ConditionFalse, fleetv1.ReasonExited, fmt.Sprintf("%s %s and is about to be started again", name, howItEnded(e.Component.LastExit))
		case fleetv1.ComponentWaiting:
			return metav1.ConditionFalse, fleetv1.ReasonWaitingForDependency, name + " waits for what it depends on"
		case fleetv1.ComponentStopped:
			return metav1.ConditionFalse, fleetv1.ReasonStarting, name + " was stopped to be started with another configuration"
		case fleetv1.ComponentStarting:
			return metav1.ConditionFalse, fleetv1.ReasonStarting, name + " was started and is not healthy yet" + e.cause()
		}
	}
	if e.Component == nil && p.Component != "" {
		// There is nobody yet to answer the question.
		return metav1.ConditionFalse, fleetv1.ReasonStarting, p.Component + " is not started yet"
	}
	if !e.Asked && e.Component != nil && e.Started {
		return metav1.ConditionFalse, fleetv1.ReasonStarting, e.Component.Name + " was started and is not healthy yet"
	}
	if !e.Asked {
		return metav1.ConditionUnknown, fleetv1.ReasonStarting, "not looked at yet"
	}
	if e.Err != nil {
		reason := fleetv1.ReasonProbeFailed
		var failure *Failure
		if errors.As(e.Err, &failure) {
			reason = failure.Reason
		}
		return metav1.ConditionFalse, reason, e.Err.Error() + e.silence()
	}
	return metav1.ConditionTrue, fleetv1.ReasonHealthy, p.Healthy
}

// unmended says whether a component is one that restarts did not mend. One that was just started again has yet to prove that
// this time they did, or it would be well and ill by turns.
func (e *Evidence) unmended(status metav1.ConditionStatus) bool {
	if e.Exhausted == "" || e.Component == nil || e.Component.State == fleetv1.ComponentStopped {
		return false
	}
	return status == metav1.ConditionFalse || status == metav1.ConditionTrue && e.Now.Sub(e.Component.StartedAt.Time) < provenAfter
}

// lastSeen is what is wrong with a component that restarts did not mend.
func (e *Evidence) lastSeen() string {
	switch {
	case e.Component.State == fleetv1.ComponentRunning && e.Err != nil:
		return e.Err.Error()
	case e.Component.LastExit == nil:
		return e.Component.Name + " keeps losing what it keeps in the kernel"
	default:
		return e.Component.Name + " " + howItEnded(e.Component.LastExit) + lastWords(e.Component.LastExit)
	}
}

// lastWords are the last line that a process logged before its end.
func lastWords(exit *fleetv1.ComponentExit) string {
	lines := strings.Split(strings.TrimSpace(exit.LogTail), "\n")
	last := lines[len(lines)-1]
	if last == "" {
		return ""
	}
	return ", after saying " + strconv.Quote(fleetv1.Shorten(last, maxLastWords))
}

// cause is what to add about a component that takes its time to get ready.
func (e *Evidence) cause() string {
	switch {
	case e.Now.Sub(e.Component.StartedAt.Time) < startingFor:
		return ""
	case e.NotReady != "":
		return ": " + e.NotReady
	case e.Err != nil:
		return ": " + e.Err.Error() + e.silence()
	default:
		return ""
	}
}

func (e *Evidence) silence() string {
	if e.Silence == "" {
		return ""
	}
	return "; " + e.Silence
}

func howItEnded(exit *fleetv1.ComponentExit) string {
	switch {
	case exit == nil:
		return "ended"
	case exit.Reason == fleetv1.ReasonHung:
		return "hung, was ended by the agent"
	case exit.Signal != "":
		return "was ended by " + exit.Signal
	case exit.Code != nil:
		return fmt.Sprintf("ended with code %d", *exit.Code)
	case exit.LogTail != "":
		return "could not be started or ended unseen"
	default:
		return "ended unseen"
	}
}
