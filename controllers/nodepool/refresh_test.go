package nodepool_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestARefreshReplacesWhatWasMadeBefore, one machine by another, and nothing after that.
func TestARefreshReplacesWhatWasMadeBefore(t *testing.T) {
	f := startFleet(t, "refreshed", 2)
	ask := func(at string) {
		t.Helper()
		update(f.site, f.pool, func(p *v1alpha1.NodePool) {
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.RefreshAtAnnotation, at)
		})
	}
	ask("tomorrow")
	f.eventually("it says what to write", func() error {
		return f.hasCondition(f.pool, v1alpha1.RefreshedCondition, v1alpha1.ReasonRefreshInvalid)
	})
	var old []types.UID
	latest := time.Time{}
	for _, m := range f.machines() {
		old = append(old, m.UID)
		if m.CreationTimestamp.After(latest) {
			latest = m.CreationTimestamp.Time
		}
	}
	ask(latest.Add(time.Second).Format(time.RFC3339)) // which comes at once
	fewest := 2
	f.eventually("all are replaced", func() error {
		f.play()
		active, left := 0, 0
		for _, m := range f.machines() {
			if m.DeletionTimestamp.IsZero() {
				active++
			}
			if slices.Contains(old, m.UID) {
				left++
			}
		}
		fewest = min(fewest, active)
		if left > 0 || active != 2 {
			return fmt.Errorf("%d Machines, %d of those that there were", active, left)
		}
		if err := f.hasCondition(f.pool, v1alpha1.RefreshedCondition, v1alpha1.ReasonRefreshed); err != nil {
			return err
		}
		return f.updated(2)
	})
	if fewest != 2 {
		t.Errorf("there were as few as %d machines", fewest)
	}
}
