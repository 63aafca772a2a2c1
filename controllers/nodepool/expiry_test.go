package nodepool_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestHowOldMachinesMayBecome(t *testing.T) {
	s := newSite(t)
	for seconds, refused := range map[int32]string{0: "", 300: "", 315360000: "", 299: "0 for never, or 300", -1: "expireAfterSeconds", 315360001: "expireAfterSeconds"} {
		pool := s.pool("lives", 1)
		pool.Spec.Disruption.ExpireAfterSeconds = &seconds
		err := s.Client.Create(t.Context(), pool, client.DryRunAll)
		switch {
		case refused == "" && err != nil:
			t.Errorf("%d seconds are refused: %v", seconds, err)
		case refused != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), refused)):
			t.Errorf("%d seconds: got %v, want them refused with %q", seconds, err, refused)
		}
	}
}

// TestAnExpiredMachineGivesWayToAnother: the pool is looked at again when it expires, another one is made, and it goes when that is well.
func TestAnExpiredMachineGivesWayToAnother(t *testing.T) {
	d := startDrained(t, "expires")
	old := d.machines()[0]
	update(d.site, d.pool, func(p *v1alpha1.NodePool) { p.Spec.Disruption.ExpireAfterSeconds = ptr.To[int32](36000) })
	look := func() ctrl.Result {
		t.Helper()
		result, err := d.manager.Reconcile(t.Context(), d.request)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	again := look().RequeueAfter
	if at := d.clock.Now().Add(again).Sub(old.CreationTimestamp.Time); at < 9*time.Hour || at > 10*time.Hour {
		t.Fatalf("it is looked at again when it is %s old, want 9 to 10 hours", at)
	}
	if n := len(d.machines()); n != 1 {
		t.Fatalf("there are %d machines before", n)
	}

	d.clock.SetTime(d.clock.Now().Add(again))
	look()
	if err := d.hasCondition(d.pool, v1alpha1.ReconcilingCondition, v1alpha1.ReasonReplacing); err != nil {
		t.Error(err)
	}
	for range 3 {
		look() // another one is there, and not well yet
	}
	there := d.machines()
	if len(there) != 2 || !there[0].DeletionTimestamp.IsZero() || !there[1].DeletionTimestamp.IsZero() {
		t.Fatalf("there are %+v, want the old one and another", there)
	}
	d.eventually("the old one goes when the other is well", func() error {
		d.play()
		look()
		for _, m := range d.machines() {
			if m.UID == old.UID && m.DeletionTimestamp.IsZero() {
				return fmt.Errorf("it stays: %+v", d.pool.Status)
			}
		}
		return nil
	})
}
