package demo

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestCheckBundle(t *testing.T) {
	const refusal = "The node bundle was built again since this demo started: run `make down`, then `make demo`."
	tests := map[string]struct {
		reason string
		live   *unstructured.Unstructured
		want   string
	}{
		"none": {
			reason: "The demo is about to apply it.",
		},
		"the same build": {
			reason: "Applying it again changes nothing.",
			live:   nodeBundle("v1.36.3", "sha256:new"),
		},
		"another build": {
			reason: "Its spec cannot be changed, and the nodes would be newer than the control plane.",
			live:   nodeBundle("v1.36.3", "sha256:old"),
			want:   refusal,
		},
		"another version": {
			reason: "A user's own NodeBundle is in nobody's way.",
			live:   nodeBundle("v1.35.0", "sha256:old"),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			builder := fake.NewClientBuilder()
			if tc.live != nil {
				builder = builder.WithObjects(tc.live)
			}
			d := &demo{client: builder.Build(), samples: map[string][]*unstructured.Unstructured{"nodebundle": {nodeBundle("v1.36.3", "sha256:new")}}}
			got := ""
			if err := d.checkBundle(t.Context()); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("checkBundle: %q, want %q: %s", got, tc.want, tc.reason)
			}
		})
	}
}

func nodeBundle(version, digest string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "fleet.drover.dev/v1alpha1", "kind": "NodeBundle",
		"metadata": map[string]any{"name": version},
		"spec": map[string]any{"kubernetesVersion": version, "artifacts": []any{
			map[string]any{"architecture": "amd64", "image": "10.88.0.1:5443/bundles/kubernetes@" + digest},
		}},
	}}
}
