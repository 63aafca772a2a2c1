package nodepool_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
)

func TestStalled(t *testing.T) {
	cases := map[string]struct {
		reason  string
		spoil   func(*site, *v1alpha1.NodePool, *nodepool.Reconciler)
		want    string
		message string
		// alone says that the message has what other tests make.
		alone bool
	}{
		"no bundle": {
			alone:   true,
			reason:  "a version that no bundle has is named, with those there are",
			spoil:   func(_ *site, p *v1alpha1.NodePool, _ *nodepool.Reconciler) { p.Spec.Template.Spec.Version = "v1.99.9" },
			want:    v1alpha1.ReasonBundleNotFound,
			message: "No NodeBundle has version v1.99.9 (there are ",
		},
		"two bundles": {
			reason: "two bundles of one version are one too many",
			spoil: func(s *site, _ *v1alpha1.NodePool, _ *nodepool.Reconciler) {
				s.create(bundle("second-"+s.version, s.version))
			},
			want:    v1alpha1.ReasonBundleAmbiguous,
			message: "name one in spec.template.spec.bundle, or delete all but one",
		},
		"no bundle of that name": {
			reason:  "a bundle that is not there is named",
			spoil:   func(_ *site, p *v1alpha1.NodePool, _ *nodepool.Reconciler) { p.Spec.Template.Spec.Bundle = "mended" },
			want:    v1alpha1.ReasonBundleNotFound,
			message: "There is no NodeBundle mended: apply it, or correct spec.template.spec.bundle",
		},
		"a bundle of another version": {
			reason: "the version is the user's word, and the bundle's has to be the same",
			spoil: func(s *site, p *v1alpha1.NodePool, _ *nodepool.Reconciler) {
				p.Spec.Template.Spec.Bundle = s.version
				p.Spec.Template.Spec.Version = "v1.99.9"
			},
			want:    v1alpha1.ReasonBundleMismatch,
			message: ", and spec.template.spec.version is v1.99.9: make that the same, or name another bundle in spec.template.spec.bundle",
		},
		"no template": {
			reason: "a template that is not there is named",
			spoil: func(_ *site, p *v1alpha1.NodePool, _ *nodepool.Reconciler) {
				p.Spec.Template.Spec.InfrastructureRef.Name = "big"
			},
			want:    v1alpha1.ReasonTemplateNotFound,
			message: "There is no LocalMachineTemplate big in namespace",
		},
		"no such kind": {
			reason: "so is a kind that is not served",
			spoil: func(_ *site, p *v1alpha1.NodePool, _ *nodepool.Reconciler) {
				p.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{APIGroup: "infra.example.com", Kind: "CloudMachineTemplate", Name: "x"}
			},
			want:    v1alpha1.ReasonTemplateNotFound,
			message: "The API server has no kind CloudMachineTemplate.infra.example.com: install the provider",
		},
		"another's cluster": {
			reason: "machines of a Cluster that Drover did not make would join another one",
			spoil: func(s *site, _ *v1alpha1.NodePool, _ *nodepool.Reconciler) {
				cluster := &clusterv1.Cluster{}
				cluster.Namespace, cluster.Name = s.namespace, v1alpha1.AdoptedClusterName
				update(s, cluster, func(c *clusterv1.Cluster) { c.Labels = nil })
			},
			want:    v1alpha1.ReasonClusterNotReady,
			message: "is not Drover's",
		},
		"discovery fails": {
			reason: "what discovery says is passed on",
			spoil: func(_ *site, _ *v1alpha1.NodePool, r *nodepool.Reconciler) {
				r.Discoverer = nodepool.DiscovererFunc(func(context.Context) (v1alpha1.ClusterSettings, error) {
					return v1alpha1.ClusterSettings{}, errors.New("set --cluster-dns")
				})
			},
			want:    v1alpha1.ReasonDiscoveryFailed,
			message: "set --cluster-dns",
		},
		"create refused": {
			reason: "what the API server refuses is passed on",
			spoil: func(s *site, p *v1alpha1.NodePool, _ *nodepool.Reconciler) {
				template := &unstructured.Unstructured{}
				template.SetGroupVersionKind(schema.GroupVersionKind{Group: "fleet.drover.dev", Version: "v1alpha1", Kind: "LocalMachineTemplate"})
				if err := s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "small"}, template); err != nil {
					s.t.Fatal(err)
				}
				bad := &v1alpha1.LocalMachineTemplate{}
				bad.Namespace, bad.Name = s.namespace, "bad"
				bad.Spec.Template.ObjectMeta.Labels = map[string]string{"not a label": "x"}
				bad.Spec.Template.Spec.CPUs = ptr.To[int32](1)
				s.create(bad)
				p.Spec.Template.Spec.InfrastructureRef.Name = "bad"
			},
			want:    v1alpha1.ReasonMachineCreateFailed,
			message: "2 machines could not be made",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newLoneSite(t)
			if !tc.alone {
				t.Parallel()
			}
			pool, r := s.pool("workers", 2), s.reconciler(s.Client)
			tc.spoil(s, pool, r)
			s.create(pool)
			result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)})
			if err != nil {
				t.Fatalf("a user's mistake is no error of ours: %v", err)
			}
			if result.RequeueAfter > 0 && result.RequeueAfter < leastRetry {
				t.Errorf("a user's mistake must not spin: again after %s", result.RequeueAfter)
			}
			if err := errors.Join(s.hasCondition(pool, v1alpha1.StalledCondition, tc.want), s.hasCondition(pool, v1alpha1.ReadyCondition, tc.want), s.counts(0, 0)); err != nil {
				t.Errorf("%s: %v", tc.reason, err)
			}
			if c := meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.StalledCondition); c != nil && !strings.Contains(c.Message, tc.message) {
				t.Errorf("%s: got %q, want it to contain %q", tc.reason, c.Message, tc.message)
			}
			version := pool.ResourceVersion
			if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
				t.Fatal(err)
			}
			if _ = s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); pool.ResourceVersion != version {
				t.Errorf("%s: the same state was written twice", tc.reason)
			}
			if told := eventsOf(r, tc.want); len(told) != 1 || !strings.HasPrefix(told[0], "Warning ") || !strings.Contains(told[0], tc.message) {
				t.Errorf("%s: want one warning that says %q, got %q", tc.reason, tc.message, told)
			}
		})
	}
}

// TestAPoolWithoutAClusterIsStalledAfterAMinute of ours, whatever the API server's clock says.
func TestAPoolWithoutAClusterIsStalledAfterAMinute(t *testing.T) {
	for _, apart := range []time.Duration{-time.Hour, 0, time.Hour} {
		t.Run("with our clock "+apart.String()+" apart", func(t *testing.T) { isStalledAfterAMinute(t, apart) })
	}
}

func isStalledAfterAMinute(t *testing.T, apart time.Duration) {
	s := newSite(t)
	cluster := &clusterv1.Cluster{}
	cluster.Namespace, cluster.Name = s.namespace, v1alpha1.AdoptedClusterName
	if err := s.Client.Delete(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	pool, r := s.pool("workers", 2), s.reconciler(s.Client)
	s.create(pool)
	clock := clocktesting.NewFakePassiveClock(time.Now().Add(apart))
	look := func(r *nodepool.Reconciler) {
		r.Clock = clock
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); err != nil {
			t.Fatal(err)
		}
	}
	look(r)
	if err := s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonClusterNotReady); err == nil {
		t.Error("a new pool is stalled at once")
	}
	clock.SetTime(clock.Now().Add(time.Minute))
	for _, c := range []struct {
		what string
		r    *nodepool.Reconciler
	}{{"after a minute", r}, {"to a manager that comes then", s.reconciler(s.Client)}} {
		look(c.r)
		if err := s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonClusterNotReady); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// leastRetry is how long a pool that a user must help rests between two looks: a few a minute.
const leastRetry = 15 * time.Second

// eventsOf are the events with a reason that a reconciler without a manager has raised.
func eventsOf(r *nodepool.Reconciler, reason string) (found []string) {
	recorder, _ := r.Recorder.(*events.FakeRecorder)
	for {
		select {
		case e := <-recorder.Events:
			if strings.Contains(e, " "+reason+" ") {
				found = append(found, e)
			}
		default:
			return found
		}
	}
}

// TestStalledPoolsRest counts what a manager does about pools that only a user can help.
func TestStalledPoolsRest(t *testing.T) {
	s := newLoneSite(t)
	s.startManager()
	spoils := []func(*v1alpha1.NodePool){
		func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Version = "v1.99.9" },
		func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.InfrastructureRef.Name = "big" },
		func(p *v1alpha1.NodePool) {
			p.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{APIGroup: "infra.example.com", Kind: "CloudMachineTemplate", Name: "x"}
		},
	}
	versions := map[string]string{}
	for i, spoil := range spoils {
		pool := s.pool(fmt.Sprintf("workers-%d", i), 2)
		spoil(pool)
		s.create(pool)
		s.eventually("the pool is stalled", func() error {
			if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
				return err
			}
			if !meta.IsStatusConditionTrue(pool.Status.Conditions, v1alpha1.StalledCondition) {
				return fmt.Errorf("conditions are %+v", pool.Status.Conditions)
			}
			return nil
		})
		versions[pool.Name] = pool.ResourceVersion
	}
	before := reconciles(t)
	const watched = 3 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), watched)
	defer cancel()
	<-ctx.Done() // Nothing is waited for: this is the time in which nothing may happen.
	if did := reconciles(t) - before; did > float64(2*len(spoils)) {
		t.Errorf("%d stalled pools were reconciled %v times within %s", len(spoils), did, watched)
	}
	for name, version := range versions {
		pool := &v1alpha1.NodePool{}
		if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, pool); err != nil || pool.ResourceVersion != version {
			t.Errorf("the status of stalled pool %s was written again: version %s, then %s (%v)", name, version, pool.ResourceVersion, err)
		}
	}
}

// reconciles is how often this process has reconciled pools.
func reconciles(t *testing.T) (total float64) {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "controller" && label.GetValue() == "nodepool" {
					total += metric.GetCounter().GetValue()
				}
			}
		}
	}
	if total == 0 {
		t.Fatal("there is no metric of reconciled pools")
	}
	return total
}

// TestStalledPoolGoesOn watches what it lacks, of kinds that nobody watched before.
func TestStalledPoolGoesOn(t *testing.T) {
	s := newSite(t)
	s.startManager()
	pool := s.pool("workers", 1)
	pool.Spec.Template.Spec.InfrastructureRef.Name = "late"
	pool.Spec.Template.Spec.Version = s.another(98)
	s.create(pool)
	s.eventually("the bundle is missing", func() error {
		return s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonBundleNotFound)
	})
	s.create(bundle("late", s.another(98)))
	s.eventually("the template is missing", func() error {
		return s.hasCondition(pool, v1alpha1.StalledCondition, v1alpha1.ReasonTemplateNotFound)
	})
	late := &v1alpha1.LocalMachineTemplate{}
	late.Namespace, late.Name = s.namespace, "late"
	late.Spec.Template.Spec.CPUs = ptr.To[int32](1)
	s.create(late)
	s.eventually("the machine is made", func() error { return s.counts(1, 0) })
}
