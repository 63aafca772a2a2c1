package status

import (
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// The steps of joining.
const (
	StepPreflight       = "Preflight"
	StepIdentity        = "Identity"
	StepBundleReady     = "BundleReady"
	StepContainerdReady = "ContainerdReady"
	StepImagesImported  = "ImagesImported"
	StepKubeletStarted  = "KubeletStarted"
	StepKubeletReady    = "KubeletReady"
	StepNodeRegistered  = "NodeRegistered"
	StepNetworkReady    = "NetworkReady"
	StepNodeReady       = "NodeReady"
)

// Timeline notes when each step was done for the first time.
type Timeline struct {
	start time.Time
	now   func() time.Time

	mu    sync.Mutex
	steps []v1alpha1.BootStep
}

// NewTimeline begins now.
func NewTimeline(now func() time.Time) *Timeline { return &Timeline{start: now(), now: now} }

// Done notes a step and says whether it was the first time.
func (t *Timeline) Done(step string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.steps {
		if s.Step == step {
			return false
		}
	}
	t.steps = append(t.steps, v1alpha1.BootStep{Step: step, Milliseconds: ptr.To(t.now().Sub(t.start).Milliseconds())})
	return true
}

// List is the steps in the order they were done.
func (t *Timeline) List() []v1alpha1.BootStep {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]v1alpha1.BootStep(nil), t.steps...)
}

// Passed are the steps of joining that can be read off the components, the probes, and the time at which a kubelet last said
// that the Node is Ready, which is zero when none ever did.
func Passed(found []v1alpha1.ComponentStatus, probed []metav1.Condition, heartbeat time.Time) []string {
	var steps []string
	for _, c := range found {
		switch {
		case c.Name == v1alpha1.ComponentContainerd && c.State == v1alpha1.ComponentRunning:
			steps = append(steps, StepContainerdReady, StepImagesImported) // containerd counts as ready once it has the bundle's images
		case c.Name == v1alpha1.ComponentKubelet && c.PID != nil:
			steps = append(steps, StepKubeletStarted)
			if c.State == v1alpha1.ComponentRunning {
				steps = append(steps, StepKubeletReady)
			}
			if saidBy(c.StartedAt.Time, heartbeat) {
				steps = append(steps, StepNodeReady)
			}
		}
	}
	if slices.ContainsFunc(probed, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.NetworkHealthyCondition && c.Status == metav1.ConditionTrue
	}) {
		steps = append(steps, StepNetworkReady)
	}
	return steps
}

// saidBy says whether the Node is Ready by the word of the kubelet that was started then. After a reboot the Node still shows
// what the one before it said, until this one has reported; an adopted kubelet has reported long ago. A heartbeat has whole
// seconds.
func saidBy(kubeletStarted, heartbeat time.Time) bool {
	return !heartbeat.IsZero() && !heartbeat.Before(kubeletStarted.Truncate(time.Second))
}
