package sim

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

var editRollout = withNumber(edited("how it rolls out", 3, func(w *world, e event) { w.editPool(rolloutOf(e.number).write) }),
	func(number int) string { return rolloutOf(number).String() })

// howRollsOut is how a user has a pool roll out.
type howRollsOut struct {
	// most is how many nodes may be unavailable.
	most string
	// surge is how many machines there may be beyond the replicas while some are replaced, if it is said, and replace that all are.
	surge   string
	replace bool
	// canary is how many nodes go first, and soaks for how many seconds; ready is how many seconds each has to stay well.
	canary, soaks, ready int32
	// deadline is within how many seconds it has to get on; 0 for the default.
	deadline int32
	// back says that what fails on a node is taken back from the others.
	back bool
	// history is how many revisions are kept that nothing uses; 0 for the default.
	history int32
}

// rollouts are those that users think of.
var rollouts = []howRollsOut{
	{most: "1", history: 4}, {most: "2", history: 4}, {most: "3"}, {most: "10%"}, {most: "60%"}, {most: "100%"}, {most: "1", ready: 30}, {most: "3", ready: 120},
	{most: "1", surge: "0"}, {most: "2", surge: "0", replace: true}, {most: "1", replace: true}, {most: "0", surge: "50%", replace: true},
	{most: "1", surge: "2", replace: true, ready: 60}, {most: "1", surge: "3", replace: true, canary: 1, soaks: 120},
	{most: "2", canary: 1, soaks: 60}, {most: "100%", canary: 2}, {most: "3", canary: 9, soaks: 300, ready: 10},
	{most: "1", back: true}, {most: "100%", back: true, canary: 1, soaks: 40}, {most: "3", back: true, ready: 20, canary: 2, soaks: 20},
	{most: "1", deadline: 60, history: 4}, {most: "2", canary: 1, soaks: 90, ready: 70, deadline: 60},
}

func rolloutOf(number int) howRollsOut { return rollouts[number%len(rollouts)] }

func (h howRollsOut) String() string {
	text := h.most + " may be unavailable"
	if h.surge != "" {
		text += fmt.Sprintf(", a surge of %s", h.surge)
	}
	if h.replace {
		text += ", all replaced"
	}
	if h.canary > 0 {
		text += fmt.Sprintf(", a canary of %d for %d seconds", h.canary, h.soaks)
	}
	if h.ready > 0 {
		text += fmt.Sprintf(", each ready for %d seconds", h.ready)
	}
	if h.back {
		text += ", what fails taken back"
	}
	if h.deadline > 0 {
		text += fmt.Sprintf(", to get on within %d seconds", h.deadline)
	}
	if h.history > 0 {
		text += fmt.Sprintf(", %d revisions kept", h.history)
	}
	return text
}

func (h howRollsOut) write(p *v1alpha1.NodePool) {
	p.Spec.Rollout = v1alpha1.NodePoolRollout{MaxUnavailable: ptr.To(intstr.Parse(h.most)), MinReadySeconds: &h.ready}
	if h.history > 0 {
		p.Spec.Rollout.RevisionHistoryLimit = &h.history
	}
	if h.deadline > 0 {
		p.Spec.Rollout.ProgressDeadlineSeconds = &h.deadline
	}
	if h.back {
		p.Spec.Rollout.OnFailure = v1alpha1.RolloutOnFailureRollback
	}
	if h.surge != "" {
		p.Spec.Rollout.MaxSurge = ptr.To(intstr.Parse(h.surge))
	}
	if h.replace {
		p.Spec.Rollout.Strategy = v1alpha1.RolloutReplace
	}
	if h.canary > 0 {
		p.Spec.Rollout.Canary = &v1alpha1.RolloutCanary{Replicas: &h.canary, SoakSeconds: &h.soaks}
	}
}
