package demo

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/hack/dev/world"
)

// checkBundle returns an error if the NodeBundle that an earlier demo applied is of another build. Its spec cannot be
// changed, and the API server's refusal advises to make a new one, which helps nobody here.
func (d *demo) checkBundle(ctx context.Context) error {
	for _, sample := range d.samples["nodebundle"] {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(sample.GroupVersionKind())
		err := d.client.Get(ctx, client.ObjectKeyFromObject(sample), live)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the NodeBundle %s: %w", sample.GetName(), err)
		}
		if !sameImages(live, sample) {
			return world.BuiltAgain("The node bundle")
		}
	}
	return nil
}

// sameImages is true when each architecture that wanted has is of the same image in the other.
func sameImages(live, wanted *unstructured.Unstructured) bool {
	have := images(live)
	for architecture, image := range images(wanted) {
		if have[architecture] != image {
			return false
		}
	}
	return true
}

// images are a NodeBundle's, by architecture.
func images(bundle *unstructured.Unstructured) map[string]string {
	found := map[string]string{}
	artifacts, _, _ := unstructured.NestedSlice(bundle.Object, "spec", "artifacts")
	for _, a := range artifacts {
		if artifact, ok := a.(map[string]any); ok {
			architecture, _ := artifact["architecture"].(string)
			found[architecture], _ = artifact["image"].(string)
		}
	}
	return found
}
