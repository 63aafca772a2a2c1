package consistency

import (
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func pod(name string, uid types.UID, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: uid, ResourceVersion: version}}
}

func TestAnObjectFromBeforeOurWriteIsOlder(t *testing.T) {
	cases := []struct {
		reason string
		seen   *corev1.Pod
		after  time.Duration
		older  bool
	}{
		{"the cache has yet to see our write", pod("p", "a", "9"), 0, true},
		{"also when it shows what others wrote before it", pod("p", "a", "10"), 0, true},
		{"what we wrote passes", pod("p", "a", "11"), 0, false},
		{"what others wrote after it passes", pod("p", "a", "12"), 0, false},
		{"another object of that name passes", pod("p", "b", "9"), 0, false},
		{"another object passes", pod("q", "c", "9"), 0, false},
		{"a cache that never sees our write is believed at last", pod("p", "a", "9"), Patience + 1, false},
	}
	for _, c := range cases {
		now := time.Unix(1000, 0)
		o := Objects{Now: func() time.Time { return now }}
		o.Wrote(pod("p", "a", "11"))
		now = now.Add(c.after)
		if got := o.IsOlder(c.seen); got != c.older {
			t.Errorf("%s: older is %t", c.reason, got)
		}
	}
}

func TestAWriteIsForgottenOnceSeen(t *testing.T) {
	var o Objects
	current := pod("p", "a", "11")
	o.Wrote(current)
	if o.IsOlder(current); len(o.writes) != 0 {
		t.Errorf("remembered after it was seen: %v", o.writes)
	}
	o.Wrote(current)
	if o.Forget(client.ObjectKeyFromObject(current)); len(o.writes) != 0 {
		t.Errorf("remembered after the object is gone: %v", o.writes)
	}
	if o.Wrote(pod("p", "a", "")); len(o.writes) != 0 {
		t.Errorf("a write without a result is remembered: %v", o.writes)
	}
}

// TestWritesToWhatIsGoneAreForgotten although nobody looks at it again or says that it is gone.
func TestWritesToWhatIsGoneAreForgotten(t *testing.T) {
	now := time.Unix(1000, 0)
	o := Objects{Now: func() time.Time { return now }}
	const perPatience = 10
	for i := range 100 * perPatience {
		o.Wrote(pod(strconv.Itoa(i), "a", "11"))
		if len(o.writes) > 3*perPatience {
			t.Fatalf("%d writes are remembered, of which %d are younger than %s", len(o.writes), perPatience, Patience)
		}
		if !o.IsOlder(pod(strconv.Itoa(max(0, i-perPatience+1)), "a", "10")) {
			t.Fatalf("a write that the cache may still be behind of was forgotten after %d more", perPatience-1)
		}
		now = now.Add(Patience / perPatience)
	}
}
