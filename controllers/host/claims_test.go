package host

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/test/sshd"
)

// rack makes Hosts that are free and fit by their status, at addresses where nobody listens: claims are all that is tried.
func (s *site) rack(hosts int) {
	s.t.Helper()
	key := sshd.Line(sshd.NewKey(s.t).PublicKey())
	s.each(hosts, func(i int) {
		h := &v1alpha1.Host{ObjectMeta: s.meta(fmt.Sprintf("rack-%03d", i)), Spec: v1alpha1.HostSpec{SSHAccess: v1alpha1.SSHAccess{
			Address: "127.0.0.1", Port: int32(i%1000) + 1, KeySecretRef: v1alpha1.SecretReference{Name: "key"}, HostKeys: []string{key}, //nolint:gosec // small
		}}}
		s.create(h)
		h.Status.ObservedGeneration = h.Generation
		for _, c := range []string{v1alpha1.HostReachableCondition, v1alpha1.HostFitCondition, v1alpha1.HostCleanCondition} {
			meta.SetStatusCondition(&h.Status.Conditions, metav1.Condition{Type: c, Status: metav1.ConditionTrue, Reason: "Test"})
		}
		if err := s.Client.Status().Update(s.t.Context(), h); err != nil {
			s.t.Error(err)
		}
	})
}

// each does something many times at once.
func (s *site) each(times int, do func(int)) {
	var wg sync.WaitGroup
	for i := range times {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// claims are the Hosts by whom has them.
func (s *site) claims() map[string]string {
	s.t.Helper()
	hosts := &v1alpha1.HostList{}
	if err := s.Client.List(s.t.Context(), hosts, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	claims := map[string]string{}
	for i := range hosts.Items {
		h := &hosts.Items[i]
		claim, err := claimOf(h)
		if err != nil {
			s.t.Fatal(err)
		}
		if claim == nil {
			continue
		}
		if other, twice := claims[claim.Name]; twice {
			s.t.Errorf("HostMachine %s has both Host %s and %s", claim.Name, other, h.Name)
		}
		claims[claim.Name] = h.Name
	}
	return claims
}

// leader is a manager's share with a cache of its own, which lags behind as caches do.
func (s *site) leader() *infra.Reconciler[*v1alpha1.HostMachine] {
	s.t.Helper()
	cached, err := cache.New(s.Config, cache.Options{Scheme: s.Scheme, DefaultNamespaces: map[string]cache.Config{s.namespace: {}}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cached.Start(ctx) // its end is the test's
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	c, err := client.New(s.Config, client.Options{Scheme: s.Scheme, Cache: &client.CacheOptions{Reader: cached, DisableFor: []client.Object{&corev1.Secret{}}}})
	if err != nil {
		s.t.Fatal(err)
	}
	_, machines := s.manager()
	provider := &Provider{Servers: &Servers{Client: c, APIReader: s.Client, Recorder: s.events, agents: s.agents}}
	machines.Client, machines.Provider = c, provider
	return machines
}

// watchClaims fails the test if a Host goes from one claimer to another.
func (s *site) watchClaims() {
	s.t.Helper()
	c, err := client.NewWithWatch(s.Config, client.Options{Scheme: s.Scheme})
	if err != nil {
		s.t.Fatal(err)
	}
	events, err := c.Watch(s.t.Context(), &v1alpha1.HostList{}, client.InNamespace(s.namespace))
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.t.Cleanup(func() { events.Stop(); <-done })
	go func() {
		defer close(done)
		claimers := map[string]string{}
		for event := range events.ResultChan() {
			h, ok := event.Object.(*v1alpha1.Host)
			if !ok {
				continue
			}
			claim, err := claimOf(h)
			if before := claimers[h.Name]; err != nil || before != "" && (claim == nil || claim.Name != before) {
				s.t.Errorf("Host %s of HostMachine %s went to %+v, %v", h.Name, before, claim, err)
			}
			if claim != nil {
				claimers[h.Name] = claim.Name
			}
		}
	}()
}

// Two managers that both believe to lead work on the same machines at once.
func TestAHundredHostsWithTwoLeaders(t *testing.T) {
	s := newSite(t)
	const hosts, few, rest = 100, 50, 60
	s.rack(hosts)
	s.watchClaims()
	leaders := []*infra.Reconciler[*v1alpha1.HostMachine]{s.leader(), s.leader()}
	name := func(i int) string { return fmt.Sprintf("m%03d", i) }
	claimAll := func(from, to, want int) int64 {
		s.each(to-from, func(i int) { s.machine(name(from + i)) })
		var looks atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for ctx.Err() == nil && len(s.claims()) < want {
			s.each(len(leaders)*(to-from), func(i int) {
				looks.Add(1)
				_, _ = leaders[i%len(leaders)].Reconcile(ctx, s.request(name(from+i/len(leaders)))) // that they conflict is what is tried
			})
		}
		return looks.Load() / int64(to-from)
	}

	looks := claimAll(0, few, few)
	claims := s.claims()
	for i := range few {
		if claims[name(i)] == "" {
			t.Errorf("HostMachine %s has no Host, and %d are free", name(i), hosts-len(claims))
		}
	}
	t.Logf("%d machines got Hosts after %d looks each", few, looks)

	looks = claimAll(few, few+rest, hosts)
	after := s.claims()
	if len(after) != hosts {
		t.Errorf("%d Hosts are claimed, want all of the %d", len(after), hosts)
	}
	for machine, host := range claims {
		if after[machine] != host {
			t.Errorf("HostMachine %s was on Host %s and is on %q", machine, host, after[machine])
		}
	}
	t.Logf("%d of %d more machines got the rest after %d looks each", len(after)-few, rest, looks)
}

// Whose the Host is that the machine chose cannot be told: it must not be let go of, and no other one claimed.
func TestAMachineWhoseClaimCannotBeReadKeepsItsHost(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.serve("a", "m")
	s.box("b")
	s.look("b")
	h := s.host("a")
	claim := h.Annotations[v1alpha1.ClaimAnnotation]
	write := func(text string) {
		t.Helper()
		h := s.host("a")
		h.Annotations[v1alpha1.ClaimAnnotation] = text
		if err := s.Client.Update(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	write("{")
	reconcile := func() {
		t.Helper()
		if _, err := s.machines.Reconcile(t.Context(), s.request("m")); err == nil || !strings.Contains(err.Error(), v1alpha1.ClaimAnnotation) {
			t.Errorf("the machine whose claim cannot be read ends with %v", err)
		}
	}
	reconcile()
	s.machine("n")
	if n := s.make("n"); n.Status.Host != "b" {
		t.Errorf("another machine is on %q: %+v", n.Status.Host, n.Status.Conditions)
	}
	s.remove("m")
	reconcile()
	write(claim)
	if m := s.make("m"); m == nil {
		t.Fatal("the machine went while its claim could not be read")
	}
	s.look("a")
	if m := s.make("m"); m != nil || b.has("installed") {
		t.Errorf("the machine is %+v, installed %t", m, b.has("installed"))
	}
}
