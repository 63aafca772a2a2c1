package sim

import (
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// treat is an agent that does what it is asked for about its machine, once, if it hears of it in time. It helps half the time.
func (w *world) treat(b *box, a *v1alpha1.NodeAgent, s *v1alpha1.NodeAgentStatus) {
	request := a.Spec.Repair
	if request == nil || s.Repair != nil && !s.Repair.RequestedAt.Before(&request.RequestedAt) || !b.treated.Before(request.RequestedAt.Time) {
		return
	}
	b.treated = request.RequestedAt.Time
	s.Repair = &v1alpha1.RepairAnswer{Rung: request.Rung, RequestedAt: request.RequestedAt, State: v1alpha1.RepairDone}
	if request.ExpiresAt.Time.Before(w.now) {
		s.Repair.State = v1alpha1.RepairExpired
		return
	}
	w.tally.Rungs++
	w.say("%s does %s", b.name, request.Rung)
	if w.oneIn(2, "helps", b.name, b.throws) {
		b.ill = time.Time{}
	}
	if request.Rung == v1alpha1.RepairReboot {
		b.silent = later(b.silent, w.now.Add(20*time.Second))
		w.after(21*time.Second, func() { w.comesBack(b) })
	}
}
