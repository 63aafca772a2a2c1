package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestWhichComponentsAreRestarted(t *testing.T) {
	const containerd, kubelet, proxy = v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy
	all := []string{containerd, kubelet, proxy, v1alpha1.ComponentNetwork}
	for name, tc := range map[string]struct {
		reason string
		ill    []string
		known  []string
		want   []string
	}{
		"none is unhealthy":     {"the kubelet and containerd do not get on", nil, all, []string{containerd, kubelet}},
		"the kubelet":           {"what is well goes on", []string{v1alpha1.KubeletHealthyCondition}, all, []string{kubelet}},
		"containerd":            {"the kubelet goes with it", []string{v1alpha1.RuntimeHealthyCondition, v1alpha1.ProxyHealthyCondition}, all, []string{containerd, kubelet, proxy}},
		"kube-proxy":            {"the others have nothing to do with it", []string{v1alpha1.ProxyHealthyCondition}, all, []string{proxy}},
		"the network":           {"it is no process", []string{v1alpha1.NetworkHealthyCondition}, all, []string{containerd, kubelet}},
		"one that is not there": {"it cannot be restarted", []string{v1alpha1.RuntimeHealthyCondition}, []string{containerd}, []string{containerd}},
		"none is there":         {"nothing can", nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var conditions []metav1.Condition
			for _, condition := range []string{v1alpha1.RuntimeHealthyCondition, v1alpha1.KubeletHealthyCondition, v1alpha1.ProxyHealthyCondition, v1alpha1.NetworkHealthyCondition} {
				status := metav1.ConditionTrue
				if slices.Contains(tc.ill, condition) {
					status = metav1.ConditionFalse
				}
				conditions = append(conditions, metav1.Condition{Type: condition, Status: status})
			}
			if got := unhealthyComponents(conditions, tc.known); !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

// A reboot that does not come is told, and one that comes ends the agent.
func TestARebootEndsTheAgentOrFails(t *testing.T) {
	refuses := errors.New("no systemd")
	for name, tc := range map[string]struct {
		begin func(context.Context) error
		ends  time.Duration
		want  string
	}{
		"it is refused":    {func(context.Context) error { return refuses }, time.Hour, "no systemd"},
		"it does not come": {func(context.Context) error { return nil }, time.Hour, "the machine still runs 5m0s after it was to reboot"},
		"it comes":         {func(context.Context) error { return nil }, time.Minute, context.DeadlineExceeded.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.ends)
				defer cancel()
				if err := reboot(ctx, tc.begin, rebootWithin); err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("it says %v, want %s", err, tc.want)
				}
			})
		})
	}
}
