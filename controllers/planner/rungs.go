package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// relapse is within what time of a rung a machine that is unhealthy again has not been helped by it: it goes on with the next one.
	relapse = time.Hour
	// requestExpires is how long an agent has to begin what it is asked for. One that is heard begins within seconds.
	requestExpires = 2 * time.Minute

	defaultRestartAfter = 120 * time.Second
	defaultRebootAfter  = 300 * time.Second
)

// rungs are all that there are, in the order of a ladder.
var rungs = []v1alpha1.RepairRung{v1alpha1.RepairRestartComponent, v1alpha1.RepairReboot, v1alpha1.RepairReplace}

// byAgent says that a rung is for the machine's agent to take.
func byAgent(rung v1alpha1.RepairRung) bool {
	return rung == v1alpha1.RepairRestartComponent || rung == v1alpha1.RepairReboot
}

// above are the rungs of the pool's ladder that come after one; all of them after none.
func (r *repair) above(rung v1alpha1.RepairRung) []v1alpha1.RepairRung {
	var list []v1alpha1.RepairRung
	for _, next := range rungs[slices.Index(rungs, rung)+1:] {
		if slices.Contains(r.Pool.Spec.Repair.Ladder, next) {
			list = append(list, next)
		}
	}
	return list
}

// timeout is how long a machine has to be unhealthy before a rung is taken, since it became so or since the rung before was taken.
func (r *repair) timeout(rung v1alpha1.RepairRung) time.Duration {
	timeouts := r.Pool.Spec.Repair.Timeouts
	seconds, byDefault := timeouts.ReplaceSeconds, defaultReplaceAfter
	switch rung {
	case v1alpha1.RepairRestartComponent:
		seconds, byDefault = timeouts.RestartComponentSeconds, defaultRestartAfter
	case v1alpha1.RepairReboot:
		seconds, byDefault = timeouts.RebootSeconds, defaultRebootAfter
	}
	return time.Duration(ptr.Deref(seconds, int32(byDefault/time.Second))) * time.Second
}

// climb finds out which rung is next for a patient, and when. None is where no rung of the ladder is left that could be taken.
func (r *repair) climb(p *patient) {
	defer r.heed(p)
	last, since := r.taken(p)
	for _, rung := range r.above(last) {
		if !byAgent(rung) || p.hears() {
			p.rung, p.at = rung, since.Add(r.timeout(rung))
			return
		}
		p.passed = append(p.passed, string(rung))
	}
}

// heed has a machine replaced that somebody else asks to have remediated, unless a rung of the pool's own is due before.
func (r *repair) heed(p *patient) {
	if at := p.asked.Add(requestPatience); !p.asked.IsZero() && (p.rung == "" || !p.at.Before(at)) {
		p.rung, p.at = v1alpha1.RepairReplace, at
	}
}

// taken is the rung that was taken last on a machine, empty for none that counts, and since when it is to help. That is in the
// request to its agent, where no status can lose it, and in the pool's status, which has it before and where nobody loses it who deletes a
// NodeAgent: the later of them counts. One that a machine was well after for long enough does not count any more.
func (r *repair) taken(p *patient) (rung v1alpha1.RepairRung, helpsSince time.Time) {
	var at time.Time
	if last, when := p.request(); last != "" && p.fell().Sub(when) <= relapse && !r.isAhead(when) {
		rung, at = last, when
	}
	if c := r.current; c != nil && c.MachineUID == string(p.UID) && byAgent(c.Rung) && !p.isUnasked(c) && c.StartedAt.After(at) && !r.isAhead(c.StartedAt.Time) {
		rung, at = c.Rung, c.StartedAt.Time
	}
	return rung, later(p.since, at)
}

// isAhead says that something was written by a clock that was wrong, and would hold up what comes after it until then.
func (r *repair) isAhead(at time.Time) bool { return at.After(r.Now.Add(time.Minute)) }

// request is what the machine's agent was asked for last, and when, by what it is asked for or, where somebody deleted its NodeAgent since,
// by its answer; empty for nothing that anybody knows.
func (p *patient) request() (rung v1alpha1.RepairRung, at time.Time) {
	if p.agent == nil {
		return "", time.Time{}
	}
	if request := p.agent.Spec.Repair; request != nil {
		rung, at = request.Rung, request.RequestedAt.Time
	}
	if answer := p.agent.Status.Repair; answer != nil && answer.RequestedAt.After(at) {
		rung, at = answer.Rung, answer.RequestedAt.Time
	}
	return rung, at
}

// fell is when the machine was well last, whatever is counted from when: its conditions change their status on the way down.
func (p *patient) fell() time.Time {
	fell := p.since
	for _, name := range []string{v1alpha1.MachineAgentHealthyCondition, clusterv1.MachineReadyCondition, clusterv1.MachineAvailableCondition} {
		c := meta.FindStatusCondition(p.Status.Conditions, name)
		if c != nil && c.Status != metav1.ConditionTrue && c.LastTransitionTime.Time.Before(fell) {
			fell = c.LastTransitionTime.Time
		}
	}
	return fell
}

// isUnasked says that a repair of the machine was begun, and that its agent was not asked for it, who can hear of it still: whoever began
// it did not get further.
func (p *patient) isUnasked(begun *v1alpha1.MachineRepair) bool {
	_, at := p.request()
	return p.hears() && at.Before(begun.StartedAt.Time)
}

// hears says that the machine's agent may hear of a request and do something with it: something has worked on the machine, which is on,
// and the agent has spoken since the kubelet fell silent, if that did.
func (p *patient) hears() bool {
	switch {
	case !p.worked() || p.agent == nil || p.isOff():
		return false
	case p.evidence == evidenceSilent:
		return p.speaks()
	default:
		return p.evidence == evidenceUnwell && !p.silent()
	}
}

// speaks says that the machine's agent has spoken since the kubelet fell silent. The two times are of two clocks: it is good for whether to
// ask the agent, which costs no more than the time of a rung, and for nothing more.
func (m *machine) speaks() bool {
	node := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineNodeReadyCondition)
	return node != nil && m.agent != nil && m.agent.Status.HeartbeatTime.After(node.LastTransitionTime.Time)
}

// passedOver says which rungs nobody would hear of, as the end of a sentence. That nothing can be asked for on a machine that never was a
// node, or is none any more, goes without saying.
func (p *patient) passedOver() string {
	if len(p.passed) == 0 || !p.worked() || p.evidence == evidenceGone {
		return ""
	}
	why := "its agent is not heard"
	if p.isOff() {
		why = "it is off"
	}
	return fmt.Sprintf("; it is not asked for %s, as %s", strings.Join(p.passed, " and "), why)
}

// unanswered says of what the machine's agent was asked for last that it was not done, and why, as the end of a sentence.
func (p *patient) unanswered() string {
	if p.agent == nil || p.agent.Status.Repair == nil {
		return ""
	}
	answer := p.agent.Status.Repair
	if rung, at := p.request(); answer.State == v1alpha1.RepairDone || answer.Rung != rung || !answer.RequestedAt.Time.Equal(at) {
		return ""
	}
	return fmt.Sprintf("; its agent says of %s: %s, %s", answer.Rung, answer.State, v1alpha1.Shorten(answer.Message, maxComplaint))
}

// beingTreated says that the machine's agent was asked for a rung and has not answered, while it has nothing else to do: that it has not
// heard of what it was told last is no sign of a change.
func (m *machine) beingTreated() bool {
	request, s := m.agent.Spec.Repair, m.agent.Status
	if request == nil || m.due != nil || s.Repair != nil && !s.Repair.RequestedAt.Before(&request.RequestedAt) {
		return false
	}
	return s.Phase == v1alpha1.PhaseCommitted && s.CurrentRevision == m.told || m.rolledBackFrom(m.told)
}

// isOver says that a repair has come to the end of its ladder without a rung that helped, each of which had its time.
func (r *repair) isOver() bool {
	p := r.patientOf(r.current.MachineUID)
	return p != nil && p.rung == "" && !r.Now.Before(r.current.StartedAt.Add(r.timeout(r.current.Rung)))
}

func (r *repair) patientOf(uid string) *patient {
	i := slices.IndexFunc(r.patients, func(p *patient) bool { return string(p.UID) == uid })
	if i < 0 {
		return nil
	}
	return r.patients[i]
}

// treat is the proposal to ask a machine's agent for the rung that is due.
func (p *patient) treat() Proposal {
	return Proposal{Urgency: urgencyRepair, Disrupts: true, Action: Action{
		Verb: Treat, Cause: Repair, Name: p.Name, UID: p.UID, Rung: p.rung, Reason: p.why(),
	}}
}

// rungWords say of a rung that it is due, that it is taken at some time, and that it was begun.
var rungWords = map[v1alpha1.RepairRung]struct{ due, at, begun string }{
	v1alpha1.RepairRestartComponent: {"its components are to be restarted", "its components are restarted", "is to have its components restarted"},
	v1alpha1.RepairReboot:           {"it is to be rebooted", "it is rebooted", "is to be rebooted"},
	v1alpha1.RepairReplace:          {"it is to be replaced", "it is replaced", "is replaced"},
}

// RequestOf is what the agent of a machine is asked for by a repair that has begun.
func RequestOf(repair *v1alpha1.MachineRepair) *v1alpha1.RepairRequest {
	return &v1alpha1.RepairRequest{Rung: repair.Rung, RequestedAt: repair.StartedAt, ExpiresAt: seconds(repair.StartedAt.Add(requestExpires))}
}

// treatmentEvents tell what agents were asked for, of one machine at a time.
func treatmentEvents(treated []Action) []Event {
	list := make([]Event, 0, len(treated))
	for _, a := range treated {
		list = append(list, Event{
			Type: corev1.EventTypeNormal, Reason: v1alpha1.ReasonRepairRequested, Action: string(a.Rung), Machine: a.Name, MachineUID: a.UID,
			Note: fmt.Sprintf("Machine %s %s: %s", a.Name, rungWords[a.Rung].begun, a.Reason),
		})
	}
	return list
}
