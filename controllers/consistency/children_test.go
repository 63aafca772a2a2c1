package consistency

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestChildrenAreBehindUntilTheCacheShowsOurWrites(t *testing.T) {
	owner, now := pod("owner", "o", "10"), time.Unix(1000, 0)
	deleted := pod("c", "c-uid", "5")
	deleted.DeletionTimestamp = &metav1.Time{Time: now}
	cases := []struct {
		reason string
		write  func(*Children[*corev1.Pod])
		owner  *corev1.Pod
		seen   []*corev1.Pod
		want   string
	}{
		{"nothing was written", func(*Children[*corev1.Pod]) {}, owner, nil, ""},
		{"an older owner", func(c *Children[*corev1.Pod]) { c.Wrote(owner) }, pod("owner", "o", "9"), nil, "the last write to owner"},
		{"the owner as written", func(c *Children[*corev1.Pod]) { c.Wrote(owner) }, owner, nil, ""},
		{"another owner of that name", func(c *Children[*corev1.Pod]) { c.Wrote(owner) }, pod("owner", "another", "9"), nil, ""},
		{"a child that does not show", func(c *Children[*corev1.Pod]) { c.Created(owner, "c") }, owner, nil, "the creation of c"},
		{"a child that shows", func(c *Children[*corev1.Pod]) { c.Created(owner, "c") }, owner, []*corev1.Pod{pod("c", "c-uid", "5")}, ""},
		{"a deletion that does not show", func(c *Children[*corev1.Pod]) { c.Deleted(owner, "c", "c-uid") }, owner, []*corev1.Pod{pod("c", "c-uid", "5")}, "the deletion of c"},
		{"a deletion that shows", func(c *Children[*corev1.Pod]) { c.Deleted(owner, "c", "c-uid") }, owner, []*corev1.Pod{deleted}, ""},
		{"a child that is gone", func(c *Children[*corev1.Pod]) { c.Deleted(owner, "c", "c-uid") }, owner, nil, ""},
	}
	for _, c := range cases {
		var children Children[*corev1.Pod]
		c.write(&children)
		if got, overdue := children.Behind(c.owner, c.seen, now); got != c.want || overdue {
			t.Errorf("%s: behind by %q, overdue %t", c.reason, got, overdue)
		}
	}
}

// TestAChildThatNeverShows was made and is gone again; the API server knows.
func TestAChildThatNeverShows(t *testing.T) {
	var children Children[*corev1.Pod]
	owner, now := pod("owner", "o", "10"), time.Unix(1000, 0)
	children.Created(owner, "c")
	if _, overdue := children.Behind(owner, nil, now); overdue {
		t.Error("it is overdue at once")
	}
	if _, overdue := children.Behind(owner, nil, now.Add(Patience+1)); !overdue {
		t.Error("it is waited for without end")
	}
	children.Confirm(owner, nil)
	if what, _ := children.Behind(owner, nil, now); what != "" {
		t.Errorf("after the API server was asked, still behind by %s", what)
	}
}
