package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Error is a finding that keeps the machine from being a node until it is mended.
func Error(name, format string, args ...any) v1alpha1.Finding {
	return of(v1alpha1.FindingError, name, format, args...)
}

// Warning is a finding that the node works with, restricted in what the message says.
func Warning(name, format string, args ...any) v1alpha1.Finding {
	return of(v1alpha1.FindingWarning, name, format, args...)
}

// Info is a finding that the agent adapted to.
func Info(name, format string, args ...any) v1alpha1.Finding {
	return of(v1alpha1.FindingInfo, name, format, args...)
}

func of(severity v1alpha1.FindingSeverity, name, format string, args ...any) v1alpha1.Finding {
	return v1alpha1.Finding{Name: name, Severity: severity, Message: v1alpha1.BoundMessage(fmt.Sprintf(format, args...))}
}

// Errors are the findings that keep the machine from being a node, as one sentence each.
func Errors(found []v1alpha1.Finding) []string {
	var out []string
	for _, f := range found {
		if f.Severity == v1alpha1.FindingError {
			out = append(out, f.Name+": "+f.Message)
		}
	}
	return out
}

// Sort puts the worst first, those of one severity by name.
func Sort(found []v1alpha1.Finding) {
	rank := map[v1alpha1.FindingSeverity]int{v1alpha1.FindingError: 0, v1alpha1.FindingWarning: 1, v1alpha1.FindingInfo: 2}
	slices.SortStableFunc(found, func(a, b v1alpha1.Finding) int {
		return cmp.Or(cmp.Compare(rank[a.Severity], rank[b.Severity]), strings.Compare(a.Name, b.Name))
	})
}
