package node

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestANodePatchThatFails is a user's to mend only when the API server will not change its mind.
func TestANodePatchThatFails(t *testing.T) {
	nodes := schema.GroupResource{Resource: "nodes"}
	cases := []struct {
		reason string
		answer error
		mine   bool
	}{
		{"a value that no Node can have", apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Node").GroupKind(), "x", field.ErrorList{}), true},
		{"a policy that forbids it", apierrors.NewForbidden(nodes, "x", errors.New("no web Nodes here")), true},
		{"a Node that is larger than a request", apierrors.NewRequestEntityTooLargeError("too large"), true},
		{"somebody who wrote first", apierrors.NewConflict(nodes, "x", errors.New("changed")), false},
		{"an API server that is busy", apierrors.NewTooManyRequests("later", 1), false},
		{"a webhook that does not answer", apierrors.NewInternalError(errors.New("failed calling webhook")), false},
		{"an API server that is gone", context.DeadlineExceeded, false},
	}
	for _, c := range cases {
		before := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
		after := before.DeepCopy()
		after.Labels = map[string]string{"tier": "web"}
		refusing := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
				return c.answer
			},
		}).Build()
		_, err := patchNode(t.Context(), refusing, before, after)
		var mine *NotAppliedError
		if errors.As(err, &mine) != c.mine || !errors.Is(err, c.answer) || !strings.Contains(err.Error(), "Node x") {
			t.Errorf("%s: got %v as a user's trouble: %t, want %t", c.reason, err, mine != nil, c.mine)
		}
	}
}
