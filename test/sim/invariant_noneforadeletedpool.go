package sim

import (
	"fmt"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// noneForADeletedPool: a pool that is being deleted makes no machine.
var noneForADeletedPool = &invariant{name: "none-for-a-deleted-pool", watches: func(w *watch) func(deed) error {
	return func(d deed) error {
		if d.by == nil || d.verb != makes {
			return nil
		}
		if d.after.GetLabels()[v1alpha1.PoolUIDLabel] != w.uid || w.always(d.by, func(a asked) bool { return a.deleted }) {
			return fmt.Errorf("Machine %s is made for a pool that is being deleted or gone", d.name()) //nolint:staticcheck // a kind's name
		}
		return nil
	}
}}
