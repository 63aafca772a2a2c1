package sim

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// requestsAnswered: then no Machine says that somebody asks to have it remediated, or that it waits for that, when nobody does.
var requestsAnswered = &invariant{name: "requests-answered", settles: func(w *world) error {
	var errs []error
	for _, m := range w.machines() {
		if c := meta.FindStatusCondition(m.Status.Conditions, clusterv1.MachineOwnerRemediatedCondition); c != nil {
			errs = append(errs, fmt.Errorf("Machine %s says %s: %s", m.Name, c.Reason, c.Message)) //nolint:staticcheck // a kind's name
		}
	}
	return errors.Join(errs...)
}}
