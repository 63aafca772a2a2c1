package engine

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/controllers/evictions"
	"github.com/drover-dev/drover/controllers/sides"
	"github.com/drover-dev/drover/test/apiserver"
)

// drained is a Node, its Machine and what drains it.
type drained struct {
	*Drainer
	server  *apiserver.Server
	cluster *clusterv1.Cluster
	machine *clusterv1.Machine
}

func newDrained(t *testing.T, name string) *drained {
	t.Helper()
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	node := nodeNamed(namespace + "-" + name)
	if err := server.Client.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	d := &drained{
		Drainer: &Drainer{Management: server.Client, Workload: sides.Side{Client: server.Client, Live: server.Client}}, server: server,
		cluster: &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "drover"}},
		machine: &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: node.Name}},
	}
	d.machine.Status.NodeRef.Name = node.Name
	return d
}

func (d *drained) drain(ctx context.Context) (string, error) {
	return d.Drain(ctx, d.cluster, d.machine, metav1.Now())
}

// TestANodeThatStaysIsDrainedAsOneThatGoes: a budget holds its pod, and is named, until it lets go.
func TestANodeThatStaysIsDrainedAsOneThatGoes(t *testing.T) {
	d := newDrained(t, "stays")
	d.server.StartControllerManager(t, "disruption-controller")
	namespace := d.machine.Namespace
	budget := guardedPod(t, d.server.Client, namespace, d.machine.Name)

	message, err := d.drain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []evictions.Refusal{{Cause: evictions.Budget, Message: "pod " + namespace + "/guarded may not be evicted: PodDisruptionBudget " + namespace + "/guard needs 1 healthy pods and has 1 currently"}}
	if diff := cmp.Diff(want, evictions.Read(message).Refusals); diff != "" {
		t.Fatalf("of %q (-want +got):\n%s", message, diff)
	}
	if err := d.server.Client.Delete(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node to be empty", func(ctx context.Context) string {
		message, err := d.drain(ctx)
		if err != nil {
			return err.Error()
		}
		return message
	})
	if left := isGone(t.Context(), d.server.Client, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "guarded"}}); left != "" {
		t.Error(left)
	}
}

// TestWhatElseRefusesAnEvictionIsNamed, in the real words of an API server and of Cluster API.
func TestWhatElseRefusesAnEvictionIsNamed(t *testing.T) {
	d := newDrained(t, "refused")
	c, namespace := d.server.Client, d.machine.Namespace
	for _, name := range []string{"hooked", "limited", "policed", "twice", "unasked"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}}}
		pod.Spec.NodeName = d.machine.Name
		pod.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
		mustCreate(t, c, pod)
		pod.Status.Phase = corev1.PodRunning
		if err := c.Status().Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	mustCreate(t, c, refusingWebhook(t, namespace+"-hooked", namespace, "hooked", denying(http.StatusForbidden)))
	mustCreate(t, c, refusingWebhook(t, namespace+"-limited", namespace, "limited", denying(http.StatusTooManyRequests)))
	mustCreate(t, c, refusingWebhook(t, namespace+"-unasked", namespace, "unasked", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusTeapot) }))
	for _, policy := range refusingPolicy(namespace, "policed") {
		mustCreate(t, c, policy)
	}
	for _, name := range []string{"one", "another"} {
		budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		budget.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "twice"}}
		mustCreate(t, c, budget)
	}
	for _, name := range []string{"hooked", "limited", "policed", "twice", "unasked"} {
		eventually(t, "the eviction of "+name+" to be refused", func(ctx context.Context) string {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
			eviction := &policyv1.Eviction{ObjectMeta: pod.ObjectMeta}
			if c.SubResource("eviction").Create(ctx, pod, eviction, client.DryRunAll) == nil {
				return "it is not"
			}
			return ""
		})
	}

	message, err := d.drain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := evictions.Read(message)
	for i, want := range []struct {
		cause    evictions.Cause
		messages []string
	}{
		{evictions.Denied, []string{"pod " + namespace + "/hooked may not be evicted: ", `admission webhook "hooked.example.com" denied the request: backups run`}},
		{evictions.Denied, []string{"pod " + namespace + "/limited may not be evicted: ", `admission webhook "limited.example.com" denied the request: backups run`}},
		{evictions.Denied, []string{"pod " + namespace + "/policed may not be evicted: ", "ValidatingAdmissionPolicy '" + namespace + "-policed' ", " denied request: not on Fridays"}},
		{evictions.Failed, []string{"pod " + namespace + "/unasked could not be evicted: ", `failed calling webhook "unasked.example.com"`}},
		{evictions.Budget, []string{"pod " + namespace + "/twice has more than one PodDisruptionBudget, which evictions do not support: leave one"}},
	} {
		if i >= len(read.Refusals) || read.Refusals[i].Cause != want.cause {
			t.Fatalf("refusal %d is not one of cause %d: %+v", i, want.cause, read.Refusals)
		}
		for _, words := range want.messages {
			if !strings.Contains(read.Refusals[i].Message, words) {
				t.Errorf("%q does not say %q", read.Refusals[i].Message, words)
			}
		}
	}
	if !read.Stuck() {
		t.Error("no pod leaves, and the drain is not stuck")
	}
}

func mustCreate(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), object, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

// denying is a webhook that lets nothing pass.
func denying(code int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		review := admissionv1.AdmissionReview{}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(w, "no review", http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Code: code, Message: "backups run"}}
		if code == http.StatusTooManyRequests {
			review.Response.Result.Reason = metav1.StatusReasonTooManyRequests
		}
		_ = json.NewEncoder(w).Encode(review)
	}
}

// refusingWebhook has a webhook asked about the evictions of one pod.
func refusingWebhook(t *testing.T, name, namespace, pod string, answer http.HandlerFunc) client.Object {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: pod + ".example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: ptr.To(admissionregistrationv1.SideEffectClassNone),
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: ptr.To(server.URL), CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules:             []admissionregistrationv1.RuleWithOperations{evictionRule},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			MatchConditions:   []admissionregistrationv1.MatchCondition{{Name: "pod", Expression: "object.metadata.name == '" + pod + "'"}},
		}},
	}
}

// evictionRule matches all evictions.
var evictionRule = admissionregistrationv1.RuleWithOperations{
	Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
	Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods/eviction"}},
}

// refusingPolicy is a policy, and its binding, against the evictions of one pod.
func refusingPolicy(namespace, pod string) []client.Object {
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: namespace + "-" + pod}}
	policy.Spec.MatchConstraints = &admissionregistrationv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		ResourceRules:     []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: evictionRule}},
	}
	policy.Spec.Validations = []admissionregistrationv1.Validation{{Expression: "object.metadata.name != '" + pod + "'", Message: "not on Fridays"}}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: policy.Name}}
	binding.Spec = admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: policy.Name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
	}
	return []client.Object{policy, binding}
}
