package planner

import "fmt"

// proposeScaleUp makes the machines that the pool lacks.
func proposeScaleUp(f *fleet) []Proposal {
	lacking := f.want() - len(f.active)
	if lacking <= 0 {
		return nil
	}
	create := Proposal{Urgency: urgencyLacking, Action: Action{
		Verb: Create, Cause: ScaleUp, Revision: f.reservation.revision,
		Reason: fmt.Sprintf("the pool wants %d, and %s there", f.want(), counted(len(f.active), "is", "are")) + f.rollout.instead(),
	}}
	proposals := make([]Proposal, lacking)
	for i := range proposals {
		proposals[i] = create
	}
	return proposals
}
