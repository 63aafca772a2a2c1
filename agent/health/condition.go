package health

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// startingFor is how long a component that was just started may be unhealthy without its answers being shown: they
// change from one attempt to the next.
const startingFor = 10 * time.Second

// observation is all that a condition is derived from.
type observation struct {
	component *fleetv1.ComponentStatus // nil: no process is behind the probe
	notReady  string                   // why the component is not ready, by its own word
	err       error
	asked     bool // false until the check was run once
	started   bool // the component was seen to start, not just to run
	now       time.Time
}

// verdict derives status, reason and message. The state of the process comes before what its probe said, because it
// is known sooner.
func (p *Probe) verdict(o observation) (metav1.ConditionStatus, string, string) {
	if p.Disabled {
		return metav1.ConditionTrue, fleetv1.ReasonDisabled, "turned off by the pool's template"
	}
	if o.component != nil {
		name := o.component.Name
		switch o.component.State {
		case fleetv1.ComponentBackOff:
			return metav1.ConditionFalse, fleetv1.ReasonExited, fmt.Sprintf("%s %s and is about to be started again", name, howItEnded(o.component.LastExit))
		case fleetv1.ComponentWaiting:
			return metav1.ConditionFalse, fleetv1.ReasonWaitingForDependency, name + " waits for what it depends on"
		case fleetv1.ComponentStopped:
			return metav1.ConditionFalse, fleetv1.ReasonStarting, name + " was stopped to be started with another configuration"
		case fleetv1.ComponentStarting:
			return metav1.ConditionFalse, fleetv1.ReasonStarting, name + " was started and is not healthy yet" + o.cause()
		}
	}
	if o.component == nil && p.Component != "" {
		// There is nobody yet to answer the question.
		return metav1.ConditionFalse, fleetv1.ReasonStarting, p.Component + " is not started yet"
	}
	if !o.asked && o.component != nil && o.started {
		return metav1.ConditionFalse, fleetv1.ReasonStarting, o.component.Name + " was started and is not healthy yet"
	}
	if !o.asked {
		return metav1.ConditionUnknown, fleetv1.ReasonStarting, "not looked at yet"
	}
	if o.err != nil {
		reason := fleetv1.ReasonProbeFailed
		var failure *Failure
		if errors.As(o.err, &failure) {
			reason = failure.Reason
		}
		return metav1.ConditionFalse, reason, o.err.Error()
	}
	return metav1.ConditionTrue, fleetv1.ReasonHealthy, p.Healthy
}

// cause is what to add about a component that takes its time to get ready.
func (o *observation) cause() string {
	switch {
	case o.now.Sub(o.component.StartedAt.Time) < startingFor:
		return ""
	case o.notReady != "":
		return ": " + o.notReady
	case o.err != nil:
		return ": " + o.err.Error()
	default:
		return ""
	}
}

func howItEnded(exit *fleetv1.ComponentExit) string {
	switch {
	case exit == nil:
		return "ended"
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
