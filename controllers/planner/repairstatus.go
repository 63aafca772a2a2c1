package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// maxPatients is how many unhealthy machines a status names. It is the schema's.
const maxPatients = 10

// repairStatus says what is seen of the machines' health, and done about it; nil for a pool whose machines nobody asks to have repaired.
func repairStatus(r *repair, result Result) *v1alpha1.NodePoolRepairStatus {
	switch {
	case r.deleting():
		return r.Pool.Status.Repair
	case !r.looks:
		return nil
	}
	status := &v1alpha1.NodePoolRepairStatus{
		WatchedSince: metav1.NewTime(r.watched), Unhealthy: int32Pointer(len(r.patients)), Allowed: int32Pointer(r.most), Current: r.current,
	}
	if result.Repair != nil {
		status.Current = result.Repair
	}
	for _, p := range r.patients[:min(len(r.patients), maxPatients)] {
		status.Machines = append(status.Machines, r.unhealthyMachine(p))
	}
	return status
}

func (r *repair) unhealthyMachine(p *patient) v1alpha1.UnhealthyMachine {
	one := v1alpha1.UnhealthyMachine{Name: p.Name, Since: seconds(p.since), Evidence: string(p.evidence), Message: v1alpha1.BoundMessage(p.says())}
	if r.frozen == "" && p.held() == "" && p.rung != "" {
		one.NextRung, one.NextAt = p.rung, seconds(p.at)
	}
	return one
}

// judgeRepair answers while a machine is repaired.
func judgeRepair(r *rollout, result Result, _ Outcome, _ tally) *verdict {
	current := r.repair.current
	if result.Repair != nil {
		current = result.Repair
	}
	if current == nil {
		return nil
	}
	message := fmt.Sprintf("Machine %s %s: %s", current.Machine, cmp.Or(rungWords[current.Rung].begun, "is repaired"), v1alpha1.Shorten(current.Message, maxComplaint))
	switch waits := firstWaits(result); {
	case r.repair.frozen != "":
		return nil // The condition RepairFrozen says so.
	case waits != "":
		message += "; " + waits
	case len(r.leaving) > 0:
		message += "; it is drained and deleted" + holding(r.fleet)
	}
	return &verdict{reason: v1alpha1.ReasonRepairing, message: message, progressing: true}
}

// firstWaits is what a repair waits for.
func firstWaits(result Result) string {
	for _, d := range result.Deferred {
		if (d.Verb == Delete || d.Verb == Treat) && !slices.Contains(passing, d.Reason) {
			return fmt.Sprintf("%s: %s", counted(d.Count, "waits", "wait"), d.Message)
		}
	}
	return ""
}

// seconds is a time as a status has it.
func seconds(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }
