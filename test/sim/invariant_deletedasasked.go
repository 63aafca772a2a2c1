package sim

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// deletedAsAsked: once all faults are over, each Machine is to be deleted as the pool says.
var deletedAsAsked = &invariant{name: "deleted-as-asked", settles: func(w *world) error {
	for _, object := range w.api.tables[machines] {
		m := as[*clusterv1.Machine](object)
		if want := w.pool().MachineDeletion(); m.Labels[v1alpha1.PoolUIDLabel] == string(w.pool().UID) && !equality.Semantic.DeepEqual(m.Spec.Deletion, want) {
			return fmt.Errorf("Machine %s is to be deleted so: %+v, and its pool says %+v", m.Name, m.Spec.Deletion, want) //nolint:staticcheck // a kind's name
		}
	}
	return nil
}}
