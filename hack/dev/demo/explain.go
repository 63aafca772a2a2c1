package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drover-dev/drover/hack/dev/world"
)

// explain adds to a failure what else is known: the fleet, the newest warnings, the pods that do not run, and where the
// logs are.
func (d *demo) explain(ctx context.Context, failure error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	lines := []string{failure.Error()}
	if tree, err := d.tree(ctx); err == nil {
		lines = append(lines, "", strings.TrimSpace(tree))
	}
	var events corev1.EventList
	if err := d.client.List(ctx, &events); err == nil {
		lines = append(lines, warnings(events.Items, 8)...)
	}
	var pods corev1.PodList
	if err := d.client.List(ctx, &pods); err == nil {
		lines = append(lines, waiting(pods.Items)...)
	}
	lines = append(lines, "", "Logs of the control plane and the manager: "+d.Layout.Logs(),
		"Logs of a machine: "+d.Layout.Path("machines", "<name>")+" (docs/troubleshooting.md)",
		"All of it still runs: look around with KUBECONFIG="+d.Layout.Kubeconfig()+", or remove it with `make down`.")
	return world.Problems{strings.Join(lines, "\n")}
}

// warnings are the newest warning events, a line each.
func warnings(events []corev1.Event, most int) []string {
	events = slices.DeleteFunc(slices.Clone(events), func(e corev1.Event) bool { return e.Type != corev1.EventTypeWarning })
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return -cmp.Compare(seen(a).UnixNano(), seen(b).UnixNano()) })
	if len(events) == 0 {
		return nil
	}
	lines := []string{"", "Newest warnings:"}
	for _, e := range events[:min(most, len(events))] {
		lines = append(lines, fmt.Sprintf("  %s %s/%s: %s: %s", seen(e).Format(time.TimeOnly), e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message))
	}
	return lines
}

// seen is when the event was seen last; which field says so depends on the API it was written through.
func seen(e corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	default:
		return e.EventTime.Time
	}
}

// waiting are the containers that do not run, and why.
func waiting(pods []corev1.Pod) []string {
	var lines []string
	for i := range pods {
		p := &pods[i]
		for _, c := range p.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil {
				lines = append(lines, fmt.Sprintf("  %s/%s %s: %s %s", p.Namespace, p.Name, c.Name, w.Reason, w.Message))
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue {
				lines = append(lines, fmt.Sprintf("  %s/%s: %s %s", p.Namespace, p.Name, c.Reason, c.Message))
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]string{"", "Pods that do not run:"}, lines...)
}
