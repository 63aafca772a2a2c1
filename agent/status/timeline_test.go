package status

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestTimelineNotesAStepOnce(t *testing.T) {
	now := time.Unix(100, 0)
	line := NewTimeline(func() time.Time { return now })
	now = now.Add(250 * time.Millisecond)
	if !line.Done(StepIdentity) {
		t.Error("the first time is the first time")
	}
	now = now.Add(time.Hour)
	if line.Done(StepIdentity) {
		t.Error("the second is not")
	}
	if steps := line.List(); len(steps) != 1 || *steps[0].Milliseconds != 250 {
		t.Errorf("got %v", steps)
	}
}

func TestTheStepsOfJoiningAreReadOffTheNode(t *testing.T) {
	running, starting := v1alpha1.ComponentRunning, v1alpha1.ComponentStarting
	containerd := func(s v1alpha1.ComponentState) v1alpha1.ComponentStatus {
		return process(v1alpha1.ComponentContainerd, s)
	}
	kubelet := func(s v1alpha1.ComponentState) v1alpha1.ComponentStatus {
		c := process(v1alpha1.ComponentKubelet, s)
		c.StartedAt = metav1.NewTime(now.Add(500 * time.Millisecond))
		return c
	}
	routes := []metav1.Condition{{Type: v1alpha1.NetworkHealthyCondition, Status: metav1.ConditionTrue}}
	for name, c := range map[string]struct {
		reason    string
		found     []v1alpha1.ComponentStatus
		probed    []metav1.Condition
		heartbeat time.Time
		want      string
	}{
		"nothing yet":                    {"nothing runs", nil, nil, time.Time{}, ""},
		"containerd starts":              {"it has not its images yet", []v1alpha1.ComponentStatus{containerd(starting)}, nil, time.Time{}, ""},
		"containerd runs":                {"it does once it has the images", []v1alpha1.ComponentStatus{containerd(running)}, nil, time.Time{}, "ContainerdReady ImagesImported"},
		"the kubelet starts":             {"it has a process", []v1alpha1.ComponentStatus{kubelet(starting)}, nil, time.Time{}, "KubeletStarted"},
		"the kubelet waits":              {"it has none", []v1alpha1.ComponentStatus{kubelet(v1alpha1.ComponentWaiting)}, nil, now.Add(time.Hour), ""},
		"the kubelet runs":               {"it has not reported yet", []v1alpha1.ComponentStatus{kubelet(running)}, nil, time.Time{}, "KubeletStarted KubeletReady"},
		"a word from before the reboot":  {"it is another kubelet's", []v1alpha1.ComponentStatus{kubelet(running)}, nil, now.Add(-time.Second), "KubeletStarted KubeletReady"},
		"the word of this one":           {"it has whole seconds, so that it may seem to be older than the kubelet", []v1alpha1.ComponentStatus{kubelet(running)}, nil, now, "KubeletStarted KubeletReady NodeReady"},
		"a word before the kubelet runs": {"the kubelet says so itself before it answers our question", []v1alpha1.ComponentStatus{kubelet(starting)}, nil, now.Add(time.Minute), "KubeletStarted NodeReady"},
		"a start that nobody knows":      {"nor has anybody a word of it", []v1alpha1.ComponentStatus{{Name: v1alpha1.ComponentKubelet, State: running, PID: ptr.To(int32(1))}}, nil, time.Time{}, "KubeletStarted KubeletReady"},
		"the network":                    {"its routes are there", nil, routes, time.Time{}, "NetworkReady"},
		"all of it":                      {"in the order of the components", []v1alpha1.ComponentStatus{containerd(running), kubelet(running)}, routes, now, "ContainerdReady ImagesImported KubeletStarted KubeletReady NodeReady NetworkReady"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(Passed(c.found, c.probed, c.heartbeat), " "); got != c.want {
				t.Errorf("got %q, want %q: %s", got, c.want, c.reason)
			}
		})
	}
}
