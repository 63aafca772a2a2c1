package host

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// start runs both reconcilers as a manager does, brought to Hosts and machines by their events.
func (s *site) start() *Reconciler {
	s.t.Helper()
	mgr, err := ctrl.NewManager(s.Config, ctrl.Options{Scheme: s.Scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{s.namespace: {}}},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)}})
	if err != nil {
		s.t.Fatal(err)
	}
	servers := &Servers{Client: mgr.GetClient(), APIReader: s.Client, Recorder: s.events, WorkDir: s.work + "/drover-host", agents: s.agents, limits: s.limits, steps: s.steps}
	r := &Reconciler{Servers: servers}
	ctx, cancel := context.WithCancel(context.Background())
	if err := errors.Join(servers.machines().SetupWithManager(ctx, mgr), r.setUp(mgr)); err != nil {
		cancel()
		s.t.Fatal(err)
	}
	apiserver.RunManager(ctx, s.t, mgr, cancel)
	return r
}

// becomes waits until the Host is like that, far less long than a Host is left alone.
func (s *site) becomes(name, what string, is func(*v1alpha1.Host) bool) *v1alpha1.Host {
	s.t.Helper()
	var h *v1alpha1.Host
	if !s.eventually(func() bool { h = s.host(name); return is(h) }) {
		s.t.Fatalf("the Host is not %s: %+v", what, h.Status)
	}
	return h
}

// eventually says whether that comes true.
func (s *site) eventually(is func() bool) bool {
	s.t.Helper()
	return wait.PollUntilContextTimeout(s.t.Context(), 50*time.Millisecond, lookInterval/5, true, func(context.Context) (bool, error) {
		return is(), nil
	}) == nil
}

func TestAHostsStatusThatSomebodyElseWroteIsMended(t *testing.T) {
	s := newSite(t)
	s.box("a")
	r := s.start()
	asItIs := func(h *v1alpha1.Host) bool {
		return ready(h.Status.Conditions) == "True Available" && h.Status.State == v1alpha1.HostAvailable && h.Status.Facts.OS != ""
	}
	h := s.becomes("a", "available", asItIs)
	if !r.said.IsOurs(s.request("a").NamespacedName, h.Status) {
		t.Errorf("the manager takes its own status for somebody else's, and logs in again for each that it writes: %+v", h.Status)
	}
	for what, change := range map[string]func(*v1alpha1.HostStatus){
		"all removed":     func(status *v1alpha1.HostStatus) { *status = v1alpha1.HostStatus{} },
		"facts removed":   func(status *v1alpha1.HostStatus) { status.Facts = v1alpha1.HostFacts{} },
		"another summary": func(status *v1alpha1.HostStatus) { status.State = v1alpha1.HostQuarantined },
		"made unfit": func(status *v1alpha1.HostStatus) {
			for i := range status.Conditions {
				status.Conditions[i].Status, status.Conditions[i].Reason = "False", "Somebody"
			}
		},
	} {
		h := s.host("a")
		change(&h.Status)
		if err := s.Client.Status().Update(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		s.becomes("a", "as it was, after "+what, asItIs)
	}
}
