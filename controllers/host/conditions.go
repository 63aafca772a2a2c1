package host

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
)

func set(h *v1alpha1.Host, conditionType string, status metav1.ConditionStatus, reason, message string) {
	// A status that was read back must equal what was written, where times have no fractions of a second.
	meta.SetStatusCondition(&h.Status.Conditions, metav1.Condition{Type: conditionType, Status: status, LastTransitionTime: metav1.Now().Rfc3339Copy(),
		Reason: reason, Message: v1alpha1.BoundMessage(message), ObservedGeneration: h.Generation})
}

func isCondition(h *v1alpha1.Host, conditionType string, status metav1.ConditionStatus) bool {
	return meta.IsStatusConditionPresentAndEqual(h.Status.Conditions, conditionType, status)
}

// conclude sums up: what the Host's other conditions, its claim and the trouble there was come to.
func conclude(h *v1alpha1.Host, claim *v1alpha1.HostClaim, trouble *infra.Problem) {
	h.Status.ObservedGeneration = h.Generation
	h.Status.Claim = claim
	h.Status.Clean = nil
	if c := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.HostCleanCondition); c != nil && c.Status != metav1.ConditionUnknown {
		h.Status.Clean = ptr.To(c.Status == metav1.ConditionTrue)
	}
	ready := func(status metav1.ConditionStatus, state v1alpha1.HostState, reason, message string) {
		h.Status.State = state
		set(h, v1alpha1.ReadyCondition, status, reason, message)
	}
	// A server that is no more can be reached and cleaned no more either.
	way := ""
	if isReleased(claim) || claim != nil && !h.DeletionTimestamp.IsZero() {
		way = fmt.Sprintf(" If the server is no more, remove the annotation %s.", v1alpha1.ClaimAnnotation)
	}
	quarantine, quarantined := h.Annotations[v1alpha1.QuarantineAnnotation]
	unreachable := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.HostReachableCondition)
	switch {
	case unreachable != nil && unreachable.Status == metav1.ConditionFalse:
		ready(metav1.ConditionFalse, v1alpha1.HostUnreachable, unreachable.Reason, sentence(unreachable.Message)+way)
	case isReleased(claim) && trouble != nil:
		ready(metav1.ConditionFalse, v1alpha1.HostQuarantined, trouble.Reason, sentence(trouble.Message)+way)
	case isReleased(claim):
		ready(metav1.ConditionFalse, v1alpha1.HostCleaning, v1alpha1.ReasonCleaning, "The Host was released and is being cleaned.")
	case claim != nil && !h.DeletionTimestamp.IsZero():
		ready(metav1.ConditionFalse, v1alpha1.HostClaimed, v1alpha1.ReasonDeleting,
			fmt.Sprintf("The Host goes once HostMachine %s has released it: delete that one's Machine.", claim.Name)+way)
	case claim != nil:
		ready(metav1.ConditionTrue, v1alpha1.HostClaimed, v1alpha1.ReasonClaimed, fmt.Sprintf("The Host serves HostMachine %s.", claim.Name))
	case trouble != nil:
		ready(metav1.ConditionFalse, v1alpha1.HostUnfit, trouble.Reason, trouble.Message)
	case quarantined:
		ready(metav1.ConditionFalse, v1alpha1.HostQuarantined, v1alpha1.ReasonQuarantined, sentence(quarantine))
	default:
		conclusion(h, ready)
	}
}

// conclusion is that of a free Host that is in no trouble.
func conclusion(h *v1alpha1.Host, ready func(metav1.ConditionStatus, v1alpha1.HostState, string, string)) {
	switch why := keptBack(h); why {
	case "":
		ready(metav1.ConditionTrue, v1alpha1.HostAvailable, v1alpha1.ReasonAvailable, "The Host can be claimed.")
	case v1alpha1.ReasonDeleting:
		ready(metav1.ConditionFalse, v1alpha1.HostPending, why, "The Host is clean, and goes.")
	case v1alpha1.ReasonUnschedulable:
		ready(metav1.ConditionFalse, v1alpha1.HostAvailable, why, "spec.unschedulable keeps the Host from being claimed.")
	case string(v1alpha1.HostPending):
		ready(metav1.ConditionUnknown, v1alpha1.HostPending, why, "The Host is being looked at.")
	default:
		message := why
		for _, c := range h.Status.Conditions {
			if c.Reason == why && c.Message != "" {
				message = c.Message
			}
		}
		ready(metav1.ConditionFalse, v1alpha1.HostUnfit, why, message)
	}
}

// maxClockOffset is how far a server's clock may be off: the signer of Kubernetes dates certificates back by this much, and
// to a server whose clock is later than that its own certificate is not valid yet.
const maxClockOffset = 5 * time.Minute

// against is what keeps a server from being a node, as one sentence each; empty if nothing does. offset is how far its clock
// is ahead of the manager's; which of the two is wrong is for the reader to see.
func against(report *node.HostReport, offset time.Duration) string {
	var lines []string
	if offset.Abs() > maxClockOffset {
		direction := "ahead of"
		if offset < 0 {
			direction = "behind"
		}
		lines = append(lines, fmt.Sprintf("ClockOffset: the server's clock is %s %s the manager's, and certificates are not valid by one of the two: set the one that is wrong, and see that a time service runs (timedatectl).", offset.Abs(), direction))
	}
	for _, f := range report.Blocking() {
		lines = append(lines, fmt.Sprintf("%s: %s", f.Name, sentence(f.Message)))
	}
	return strings.Join(lines, " ")
}

// warnings are what speaks against it without keeping it.
func warnings(report *node.HostReport) string {
	var lines []string
	for _, f := range report.Findings {
		if f.Severity == node.FindingWarning {
			lines = append(lines, fmt.Sprintf("%s: %s", f.Name, sentence(f.Message)))
		}
	}
	return strings.Join(lines, " ")
}

func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

// factsOf puts a preflight's facts into the status. A server may say what it likes; the API takes no more than the kind's
// bounds. offset is how far its clock is ahead.
func factsOf(report *node.HostReport, offset time.Duration) v1alpha1.HostFacts {
	f := report.Facts
	facts := v1alpha1.HostFacts{MachineID: v1alpha1.Shorten(f.MachineID, 64), Architecture: v1alpha1.Shorten(f.Architecture, 32),
		OS: v1alpha1.Shorten(f.OS, 256), Kernel: v1alpha1.Shorten(f.KernelRelease, 128), SELinux: v1alpha1.Shorten(string(f.SELinux), 32),
		AppArmor: ptr.To(f.AppArmor), Swap: quantity(f.SwapBytes)}
	if f.CPUs > 0 {
		facts.CPUs = ptr.To(int32(min(f.CPUs, 1<<20))) // far more than any machine has
	}
	if f.MemoryBytes > 0 {
		facts.Memory = quantity(f.MemoryBytes)
	}
	if f.CgroupVersion > 0 {
		facts.CgroupVersion = ptr.To(int32(min(f.CgroupVersion, 2)))
	}
	if !f.Time.IsZero() {
		facts.ClockOffsetMilliseconds = ptr.To(offset.Milliseconds())
	}
	const mostDisks, mostRuntimes = 32, 16
	for _, d := range f.Disks[:min(len(f.Disks), mostDisks)] {
		name := v1alpha1.Shorten(d.Name, 64)
		if name != "" && !slices.ContainsFunc(facts.Disks, func(other v1alpha1.HostDisk) bool { return other.Name == name }) {
			facts.Disks = append(facts.Disks, v1alpha1.HostDisk{Name: name, Size: quantity(d.Bytes)})
		}
	}
	for _, r := range f.Runtimes[:min(len(f.Runtimes), mostRuntimes)] {
		if name := v1alpha1.Shorten(r.Name, 64); name != "" && !slices.Contains(facts.Runtimes, name) {
			facts.Runtimes = append(facts.Runtimes, name)
		}
	}
	return facts
}

// coarse takes away what the asking itself may have taken: no status is written anew for that.
func coarse(offset time.Duration) time.Duration { return offset.Round(time.Second) }

func quantity(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.BinarySI) }
