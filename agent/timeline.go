package agent

import (
	"sync"
	"time"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// The steps of joining.
const (
	stepPreflight       = "Preflight"
	stepIdentity        = "Identity"
	stepBundleReady     = "BundleReady"
	stepContainerdReady = "ContainerdReady"
	stepImagesImported  = "ImagesImported"
	stepKubeletStarted  = "KubeletStarted"
	stepKubeletReady    = "KubeletReady"
	stepNodeRegistered  = "NodeRegistered"
	stepNetworkReady    = "NetworkReady"
	stepNodeReady       = "NodeReady"
)

// timeline notes when each step was done for the first time.
type timeline struct {
	start time.Time
	now   func() time.Time

	mu    sync.Mutex
	steps []v1alpha1.BootStep
}

// done notes a step and says whether it was the first time.
func (t *timeline) done(step string) bool {
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

// list is the steps in the order they were done.
func (t *timeline) list() []v1alpha1.BootStep {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]v1alpha1.BootStep(nil), t.steps...)
}
