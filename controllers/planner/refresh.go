package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// refreshAt is the time before which a pool's machines, or a Machine itself, were made that are to be replaced, in whole seconds, as the
// time is at which a Machine was made; zero for none. An annotation that is no time is wrong.
func refreshAt(o metav1.Object) (at time.Time, wrong string) {
	value, annotated := o.GetAnnotations()[v1alpha1.RefreshAtAnnotation]
	if !annotated {
		return time.Time{}, ""
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		const most = 100
		return time.Time{}, fmt.Sprintf("the annotation %s is %q, which is no time: write one such as 2026-11-30T13:00:00Z, or take it away",
			v1alpha1.RefreshAtAnnotation, v1alpha1.Shorten(value, most))
	}
	return at.UTC().Truncate(time.Second), ""
}

// refresh is why somebody wants a machine replaced by now; the zero renewal where nobody does.
func (f *fleet) refresh(m *machine) renewal {
	own, _ := refreshAt(m.Machine)
	for _, asked := range []struct {
		at time.Time
		of string
	}{{f.refreshAt, "NodePool"}, {own, "Machine"}} {
		if !asked.at.IsZero() && !f.Now.Before(asked.at) && m.CreationTimestamp.Time.Before(asked.at) {
			return renewal{Refresh, fmt.Sprintf("it was made before %s, from when on the annotation %s of its %s wants another", asked.at.Format(time.RFC3339), v1alpha1.RefreshAtAnnotation, asked.of)}
		}
	}
	return renewal{}
}

// untilRefresh is how long it is until somebody wants machines replaced; zero for never.
func (f *fleet) untilRefresh() time.Duration {
	var after time.Duration
	wants := func(at time.Time) {
		if at.After(f.Now) {
			after = sooner(after, at.Sub(f.Now))
		}
	}
	wants(f.refreshAt)
	for _, m := range f.active {
		at, _ := refreshAt(m.Machine)
		wants(at)
	}
	return after
}

// isRefreshing says that machines are there which somebody wants replaced. Then the pool is not yet what it is to be.
func (r *rollout) isRefreshing() bool {
	return slices.ContainsFunc(slices.Concat(r.renewed, r.kept), func(m *machine) bool { return r.renewal(m).cause == Refresh })
}

// refreshed is the pool's condition Refreshed; without a reason where nobody asks for a refresh.
func (f *fleet) refreshed() (truth metav1.ConditionStatus, reason, message string) {
	if wrong := f.wrongRefresh(); wrong != "" {
		return metav1.ConditionFalse, v1alpha1.ReasonRefreshInvalid, wrong + ". No machine is replaced for it"
	}
	if f.refreshAt.IsZero() {
		return "", "", ""
	}
	at := f.refreshAt.Format(time.RFC3339)
	switch older := f.madeBefore(f.refreshAt); {
	case f.Now.Before(f.refreshAt):
		return metav1.ConditionFalse, v1alpha1.ReasonRefreshWaits, fmt.Sprintf("Machines that were made before %s are replaced from then on", at)
	case older > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonRefreshing, machinesOf(len(f.Machines)-older, len(f.Machines), "was", "were") + " made since " + at
	default:
		return metav1.ConditionTrue, v1alpha1.ReasonRefreshed, "No machine is there that was made before " + at
	}
}

// wrongRefresh is the first annotation that is no time, as a sentence; empty for none.
func (f *fleet) wrongRefresh() string {
	if _, wrong := refreshAt(f.Pool); wrong != "" {
		return "Of NodePool " + f.Pool.Name + " " + wrong
	}
	for _, m := range f.active {
		if _, wrong := refreshAt(m.Machine); wrong != "" {
			return "Of Machine " + m.Name + " " + wrong
		}
	}
	return ""
}

func (f *fleet) madeBefore(at time.Time) int {
	n := 0
	for _, m := range f.Machines {
		if m.CreationTimestamp.Time.Before(at) {
			n++
		}
	}
	return n
}

// refreshEvents tell of a refresh that cannot be, or waits, when that is new.
func refreshEvents(before, after []metav1.Condition) []Event {
	is := meta.FindStatusCondition(after, v1alpha1.RefreshedCondition)
	if is == nil || is.Reason != v1alpha1.ReasonRefreshInvalid && is.Reason != v1alpha1.ReasonRefreshWaits {
		return nil
	}
	if was := meta.FindStatusCondition(before, v1alpha1.RefreshedCondition); was != nil && was.Message == is.Message {
		return nil
	}
	kind := map[string]string{v1alpha1.ReasonRefreshInvalid: corev1.EventTypeWarning}[is.Reason]
	return []Event{{Type: cmp.Or(kind, corev1.EventTypeNormal), Reason: is.Reason, Action: "Refresh", OfStatus: true, Note: is.Message}}
}
