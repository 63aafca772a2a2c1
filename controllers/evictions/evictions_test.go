package evictions_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/core/reconcilers/machine/drain"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/controllers/evictions"
)

// What the API server answers. That it says this, package engine tests.
var (
	pods          = schema.GroupResource{Resource: "pods"}
	severalBudget = &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 500, Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
	}}
	webhookSaysNo = &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 403, Reason: metav1.StatusReasonForbidden, Message: `admission webhook "guard.example.com" denied the request: backups run`,
	}}
	// Some webhooks answer as a budget does, so that whoever drains tries again.
	webhookSaysLater = &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 429, Reason: metav1.StatusReasonTooManyRequests, Details: &metav1.StatusDetails{},
		Message: "admission webhook \"guard.example.com\" denied the request: backups run:\n* a\n* b",
	}}
	policySaysNo = apierrors.NewForbidden(pods, "a", errors.New("ValidatingAdmissionPolicy 'no-evictions' with binding 'all' denied request: not on Fridays"))
	quotaSaysNo  = apierrors.NewForbidden(pods, "a", errors.New("exceeded quota: evictions, requested: count/evictions.policy=1, used: count/evictions.policy=1, limited: count/evictions.policy=1"))
	webhookDown  = apierrors.NewInternalError(errors.New(`failed calling webhook "guard.example.com": failed to call webhook: Post "https://guard.shop.svc:443/": no endpoints available`))
)

func budgetSaysNo(causes ...string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	for _, cause := range causes {
		err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: cause})
	}
	return err
}

func TestWhatRefusesAnEvictionIsRead(t *testing.T) {
	for _, c := range []struct {
		reason  string
		answers map[string]error
		want    []evictions.Refusal
	}{
		{
			"pod and budget are named, the budget with its namespace and its reason", map[string]error{"a": budgetSaysNo("The disruption budget web needs 2 healthy pods and has 2 currently")},
			[]evictions.Refusal{{evictions.Budget, "pod shop/a may not be evicted: PodDisruptionBudget shop/web needs 2 healthy pods and has 2 currently"}},
		},
		{
			"pods that one budget holds stand together",
			map[string]error{"a": budgetSaysNo("The disruption budget web needs 2 healthy pods and has 2 currently"), "b": budgetSaysNo("The disruption budget web needs 2 healthy pods and has 2 currently")},
			[]evictions.Refusal{{evictions.Budget, "pod shop/a, shop/b may not be evicted: PodDisruptionBudget shop/web needs 2 healthy pods and has 2 currently"}},
		},
		{
			"an API server that does not name the budget is no reason to keep quiet", map[string]error{"a": budgetSaysNo()},
			[]evictions.Refusal{{evictions.Budget, "pod shop/a may not be evicted: its PodDisruptionBudget does not allow it"}},
		},
		{
			"the API server's words about a new budget are kept", map[string]error{"a": budgetSaysNo("The disruption budget p is still being processed by the server.")},
			[]evictions.Refusal{{evictions.Budget, "pod shop/a may not be evicted: PodDisruptionBudget shop/p is still being processed by the server."}},
		},
		{
			"evictions do not support two budgets, so only a user can help", map[string]error{"a": severalBudget},
			[]evictions.Refusal{{evictions.Budget, "pod shop/a has more than one PodDisruptionBudget, which evictions do not support: leave one"}},
		},
		{
			"a webhook is named with what it says", map[string]error{"a": webhookSaysNo},
			[]evictions.Refusal{{evictions.Denied, `pod shop/a may not be evicted: admission webhook "guard.example.com" denied the request: backups run`}},
		},
		{
			"so is one that answers as a budget does, in several lines", map[string]error{"b": webhookSaysLater},
			[]evictions.Refusal{{evictions.Denied, `pod shop/b may not be evicted: admission webhook "guard.example.com" denied the request: backups run:`}},
		},
		{
			"a policy is named", map[string]error{"a": policySaysNo},
			[]evictions.Refusal{{evictions.Denied, `pod shop/a may not be evicted: pods "a" is forbidden: ValidatingAdmissionPolicy 'no-evictions' with binding 'all' denied request: not on Fridays`}},
		},
		{
			"a quota is named", map[string]error{"a": quotaSaysNo},
			[]evictions.Refusal{{evictions.Denied, `pod shop/a may not be evicted: pods "a" is forbidden: exceeded quota: evictions, requested: count/evictions.policy=1, used: count/evictions.policy=1, limited: count/evictions.policy=1`}},
		},
		{
			"a webhook that cannot be asked is a failure of the API server", map[string]error{"a": webhookDown},
			[]evictions.Refusal{{evictions.Failed, `pod shop/a could not be evicted: Internal error occurred: failed calling webhook "guard.example.com": failed to call webhook: Post "https://guard.shop.svc:443/": no endpoints available`}},
		},
		{
			"so is any other error", map[string]error{"a": errors.New("connection refused")},
			[]evictions.Refusal{{evictions.Failed, "pod shop/a could not be evicted: connection refused"}},
		},
		{
			"what waits for a user comes first, what passes by itself last", map[string]error{"a": budgetSaysNo(), "b": errors.New("connection refused"), "c": webhookSaysNo},
			[]evictions.Refusal{
				{evictions.Denied, `pod shop/c may not be evicted: admission webhook "guard.example.com" denied the request: backups run`},
				{evictions.Failed, "pod shop/b could not be evicted: connection refused"},
				{evictions.Budget, "pod shop/a may not be evicted: its PodDisruptionBudget does not allow it"},
			},
		},
		{
			"a namespace that goes takes its pods along", map[string]error{"a": terminating()}, nil,
		},
	} {
		message := drained(t, c.answers, slices.Collect(maps.Keys(c.answers))...)
		got := evictions.Read(message)
		if diff := cmp.Diff(c.want, got.Refusals); diff != "" {
			t.Errorf("%s: of %q (-want +got):\n%s", c.reason, message, diff)
		}
		if got.Leaving || got.Stuck() != (len(c.want) > 0) {
			t.Errorf("%s: of %q: pods leave: %v, it is stuck: %v", c.reason, message, got.Leaving, got.Stuck())
		}
	}
}

func TestADrainIsNotStuckWhilePodsLeave(t *testing.T) {
	for _, c := range []struct {
		reason  string
		answers map[string]error
		pods    []string
		want    bool
	}{
		{"evicted pods leave", nil, []string{"a", "b"}, false},
		{"one of them may be what the budget waits for", map[string]error{"a": budgetSaysNo()}, []string{"a", "b"}, false},
		{"nothing changes by itself", map[string]error{"a": budgetSaysNo(), "b": webhookSaysNo}, []string{"a", "b"}, true},
	} {
		got := evictions.Read(drained(t, c.answers, c.pods...))
		if got.Stuck() != c.want || got.Leaving == c.want {
			t.Errorf("%s: it is stuck: %v (%+v)", c.reason, got.Stuck(), got)
		}
	}
	if got := evictions.Read(""); got.Stuck() || got.Leaving {
		t.Errorf("a node without pods: %+v", got)
	}
}

// The evictions that do not get their turn in the ten seconds that a look has are no refusals.
func TestAnEvictionWithoutATurnIsNotRefused(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if message := drainedBy(ctx, t, nil, "a"); !strings.Contains(message, "failed to evict Pod, eviction timeout of ") || evictions.Read(message).Refusals != nil {
		t.Errorf("%q says %+v", message, evictions.Read(message))
	}
}

func TestManyCausesAreRead(t *testing.T) {
	answers := map[string]error{}
	for i := range 7 {
		answers[fmt.Sprintf("pod-%d", i)] = fmt.Errorf("%d: %s", i, strings.Repeat("a long answer ", 1000))
	}
	message := drained(t, answers, slices.Sorted(maps.Keys(answers))...)
	got := evictions.Read(message)
	if len(got.Refusals) != 5 || !strings.Contains(message, "* 2 Pods with other issues") {
		t.Errorf("Cluster API tells five causes: %d of %q", len(got.Refusals), message)
	}
	for _, r := range got.Refusals {
		if len(r.Message) > 600 {
			t.Errorf("what refuses an eviction is quoted in %d bytes", len(r.Message))
		}
	}
}

func TestWhatAWebhookSaysInSeveralLinesIsOneRefusal(t *testing.T) {
	answer := &apierrors.StatusError{ErrStatus: metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "admission webhook \"w\" denied the request: the first line\n\nthe last line"}}
	message := drained(t, map[string]error{"a": answer}, "a", "b")
	want := []evictions.Refusal{{evictions.Denied, `pod shop/a may not be evicted: admission webhook "w" denied the request: the first line the last line`}}
	if diff := cmp.Diff(want, evictions.Read(message).Refusals); diff != "" {
		t.Errorf("of %q (-want +got):\n%s", message, diff)
	}
}

func terminating() error {
	err := apierrors.NewForbidden(pods, "a", errors.New("unable to create new content in namespace shop because it is being terminated"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return err
}

func drained(t *testing.T, answers map[string]error, names ...string) string {
	t.Helper()
	return drainedBy(t.Context(), t, answers, names...)
}

// drainedBy has Cluster API drain a node with these pods of the namespace shop, and says what it says. Their evictions are
// answered so, and succeed without an answer.
func drainedBy(ctx context.Context, t *testing.T, answers map[string]error, names ...string) string {
	t.Helper()
	kinds := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(kinds), clusterv1.AddToScheme(kinds)); err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}
	for _, name := range names {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		pod.Spec.NodeName = "node"
		objects = append(objects, pod)
	}
	c := fake.NewClientBuilder().WithScheme(kinds).WithObjects(objects...).
		WithIndex(&corev1.Pod{}, "spec.nodeName", func(client.Object) []string { return []string{"node"} }).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourceCreate: func(_ context.Context, _ client.Client, _ string, pod, _ client.Object, _ ...client.SubResourceCreateOption) error {
				return answers[pod.GetName()]
			},
		}).Build()
	helper := &drain.Helper{Client: c, RemoteClient: c, GracePeriodSeconds: -1}
	list, err := helper.GetPodsForEviction(ctx, &clusterv1.Cluster{}, &clusterv1.Machine{}, "node")
	if err != nil {
		t.Fatal(err)
	}
	return helper.EvictPods(ctx, list).ConditionMessage(metav1.Now())
}
