package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// readEdited reads a pool's manifest from a file, or from standard input for "-". There may be other objects before it.
func readEdited(path string, pool *v1alpha1.NodePool, stdin io.Reader) ([]byte, error) {
	in := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(in, 4096)
	for {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s has no NodePool %s/%s", path, pool.Namespace, pool.Name)
		} else if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		var head metav1.PartialObjectMetadata
		if err := json.Unmarshal(raw, &head); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if head.Kind == "NodePool" && head.Name == pool.Name && (head.Namespace == "" || head.Namespace == pool.Namespace) {
			return raw, nil
		}
	}
}

// edit is the pool as it would be after `kubectl apply` of a manifest: what the manifest says, and what neither it nor the manifest
// that was applied last has said stays.
func edit(pool *v1alpha1.NodePool, manifest []byte) (*v1alpha1.NodePool, error) {
	if err := yaml.UnmarshalStrict(manifest, &v1alpha1.NodePool{}); err != nil {
		return nil, fmt.Errorf("the manifest is no NodePool: %w", err)
	}
	current, err := json.Marshal(pool)
	if err != nil {
		return nil, err
	}
	last := []byte(pool.Annotations[corev1.LastAppliedConfigAnnotation])
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(last, manifest, current)
	if err != nil {
		return nil, fmt.Errorf("compare the manifest with NodePool %s/%s: %w", pool.Namespace, pool.Name, err)
	}
	merged, err := jsonpatch.MergePatch(current, patch)
	if err != nil {
		return nil, fmt.Errorf("edit NodePool %s/%s: %w", pool.Namespace, pool.Name, err)
	}
	edited := &v1alpha1.NodePool{}
	if err := json.Unmarshal(merged, edited); err != nil {
		return nil, fmt.Errorf("edit NodePool %s/%s: %w", pool.Namespace, pool.Name, err)
	}
	whole := pool.DeepCopy() // of what is not the user's to write
	whole.Spec = edited.Spec
	return whole, nil
}
