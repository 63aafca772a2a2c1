// Package install applies manifests: kustomizations of this repository and plain files, by server-side apply, so that
// a second run changes only what differs.
package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// fieldOwner is who owns the fields applied.
const fieldOwner = client.FieldOwner("drover-dev")

// establishTimeout bounds the wait for new kinds to be served.
const establishTimeout = 30 * time.Second

// Kustomization builds the kustomization in dir.
func Kustomization(dir string) ([]*unstructured.Unstructured, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("build the kustomization %s: %w", dir, err)
	}
	raw, err := built.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("build the kustomization %s: %w", dir, err)
	}
	return Parse(raw)
}

// File reads a file of YAML documents.
func File(path string) ([]*unstructured.Unstructured, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	objects, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("read manifests from %s: %w", path, err)
	}
	return objects, nil
}

// Parse reads YAML documents.
func Parse(raw []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	var objects []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(u.Object) > 0 {
			objects = append(objects, u)
		}
	}
}

// Apply applies the objects: namespaces and definitions of kinds first, the rest once these kinds are served.
func Apply(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	early, late := Split(objects)
	for _, u := range early {
		if err := apply(ctx, c, u); err != nil {
			return err
		}
	}
	for _, u := range early {
		if err := awaitEstablished(ctx, c, u); err != nil {
			return err
		}
	}
	for _, u := range late {
		if err := apply(ctx, c, u); err != nil {
			return err
		}
	}
	return nil
}

// Split parts what others need to be there first, namespaces and definitions of kinds, from those others.
func Split(objects []*unstructured.Unstructured) (early, late []*unstructured.Unstructured) {
	for _, u := range objects {
		if slices.Contains([]string{"Namespace", "CustomResourceDefinition"}, u.GetKind()) {
			early = append(early, u)
		} else {
			late = append(late, u)
		}
	}
	return early, late
}

// apply retries while the API server has yet to serve the object's kind.
func apply(ctx context.Context, c client.Client, u *unstructured.Unstructured) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, establishTimeout, true, func(ctx context.Context) (bool, error) {
		last = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u.DeepCopy()), fieldOwner, client.ForceOwnership)
		if meta.IsNoMatchError(last) || apierrors.IsNotFound(last) {
			return false, nil
		}
		return true, last
	})
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", u.GetKind(), client.ObjectKeyFromObject(u), errors.Join(last, cause(err, last)))
	}
	return nil
}

// cause is err, unless last says the same.
func cause(err, last error) error {
	if errors.Is(last, err) || errors.Is(err, last) {
		return nil
	}
	return err
}

func awaitEstablished(ctx context.Context, c client.Client, u *unstructured.Unstructured) error {
	if u.GetKind() != "CustomResourceDefinition" {
		return nil
	}
	live := u.DeepCopy()
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, establishTimeout, true, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(u), live); err != nil {
			return false, err
		}
		status, _ := Condition(live, "Established")
		return status == "True", nil
	})
	if err != nil {
		return fmt.Errorf("wait for the kind %s to be served: %w", u.GetName(), err)
	}
	return nil
}

// Condition returns a condition's status and message, empty if there is none.
func Condition(u *unstructured.Unstructured, kind string) (status, message string) {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		m, ok := c.(map[string]any)
		if !ok || m["type"] != kind {
			continue
		}
		status, _ = m["status"].(string)
		message, _ = m["message"].(string)
		return status, message
	}
	return "", ""
}
