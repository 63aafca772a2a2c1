package supervise

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// Status is the state of every wanted process, in the order of the last Apply.
func (s *Supervisor) Status() []fleetv1.ComponentStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	result := make([]fleetv1.ComponentStatus, 0, len(s.order))
	for _, name := range s.order {
		if u := s.units[name]; u != nil && u.want != nil {
			result = append(result, u.statusLocked())
		}
	}
	return result
}

// Failures is how often a process has ended in a row with the configuration that is wanted.
func (s *Supervisor) Failures(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec, earlier := s.records[name]; earlier { // a supervisor's before this one
		return rec.Failures
	}
	u := s.units[name]
	if u == nil || u.want == nil || u.want.Digest() != u.record.Digest {
		return 0
	}
	return u.record.Failures
}

// NotReady is why a process that runs is not ready, by its last answer; empty when it is, or has not been asked.
func (s *Supervisor) NotReady(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.units[name]; u != nil && u.state == fleetv1.ComponentStarting {
		return u.notReady
	}
	return ""
}

func (u *unit) statusLocked() fleetv1.ComponentStatus {
	status := fleetv1.ComponentStatus{
		Name:     u.name,
		Version:  u.want.Version,
		State:    u.state,
		Restarts: ptr.To(u.record.Restarts),
		LastExit: u.record.LastExit.DeepCopy(),
	}
	if u.record.Running && u.record.PID > 0 {
		status.PID = ptr.To(int32(u.record.PID))
	}
	if !u.record.StartedAt.IsZero() {
		// The API keeps whole seconds: more would look like a change after each round trip.
		status.StartedAt = metav1.NewTime(u.record.StartedAt.Truncate(time.Second))
	}
	if status.LastExit != nil {
		status.LastExit.Time = metav1.NewTime(status.LastExit.Time.Truncate(time.Second))
	}
	return status
}
