package nodepool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// revisionLength is the number of hexadecimal digits of a template's hash that make its revision.
const revisionLength = 10

// hashedTemplate is what makes two templates the same revision or not. Labels and taints are not in it: they are
// patched onto Nodes live. The pool's UID is, so that a pool made again under its old name has revisions of its own.
type hashedTemplate struct {
	PoolUID           string                           `json:"poolUID"`
	Version           string                           `json:"version"`
	InfrastructureRef v1alpha1.InfrastructureReference `json:"infrastructureRef"`
	Settings          v1alpha1.NodeSettings            `json:"settings"`
	Artifacts         []v1alpha1.Artifact              `json:"artifacts"`
}

// templateHash hashes the user's template and the bundle it resolves to. Objects are sorted by key, so that fields may
// move within our Go types without rolling anybody's fleet.
func templateHash(pool *v1alpha1.NodePool, bundle *v1alpha1.NodeBundle) (string, error) {
	spec := pool.Spec.Template.Spec
	raw, err := json.Marshal(hashedTemplate{
		PoolUID: string(pool.UID), Version: spec.Version, InfrastructureRef: spec.InfrastructureRef,
		Settings: spec.NodeSettings, Artifacts: sortedArtifacts(bundle),
	})
	if err != nil {
		return "", fmt.Errorf("hash the template: %w", err)
	}
	var sorted any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&sorted); err != nil {
		return "", fmt.Errorf("hash the template: %w", err)
	}
	if raw, err = json.Marshal(sorted); err != nil {
		return "", fmt.Errorf("hash the template: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

func sortedArtifacts(bundle *v1alpha1.NodeBundle) []v1alpha1.Artifact {
	return slices.SortedFunc(slices.Values(bundle.Spec.Artifacts), func(a, b v1alpha1.Artifact) int {
		return bytes.Compare([]byte(a.Architecture), []byte(b.Architecture))
	})
}

// resolveRevision names the template's revision and, when it is not stored yet, renders it. A stored one is never
// rendered anew: upgrading Drover, or moving the API server, does not change what it means.
func (r *Reconciler) resolveRevision(ctx context.Context, seen *observation, bundle *v1alpha1.NodeBundle) error {
	hash, err := templateHash(seen.Pool, bundle)
	if err != nil {
		return err
	}
	seen.Revision = hash[:revisionLength]
	for i := range seen.stored {
		if seen.stored[i].Labels[v1alpha1.RevisionLabel] == seen.Revision {
			return sameTemplate(&seen.stored[i], hash)
		}
	}
	settings, err := r.Discoverer.Discover(ctx)
	if err != nil {
		seen.problem(planner.Problem{
			Reason:     v1alpha1.ReasonDiscoveryFailed,
			Message:    fmt.Sprintf("What nodes must know about this cluster could not be found out: %v", err),
			RetryAfter: retryDiscovery,
		})
		return nil
	}
	seen.rendered, err = renderRevision(seen, bundle, settings, hash)
	return err
}

// sameTemplate fails when two templates share the beginning of their hashes.
func sameTemplate(stored *appsv1.ControllerRevision, hash string) error {
	if got := stored.Annotations[v1alpha1.TemplateHashAnnotation]; got != hash {
		return fmt.Errorf("ControllerRevision %s is of another template (hash %q, not %q): change any setting of the pool's template to get another revision",
			client.ObjectKeyFromObject(stored), got, hash)
	}
	return nil
}

func renderRevision(seen *observation, bundle *v1alpha1.NodeBundle, settings v1alpha1.ClusterSettings, hash string) (*appsv1.ControllerRevision, error) {
	pool := seen.Pool
	spec, err := json.Marshal(v1alpha1.NodeAgentSpec{
		Revision: seen.Revision, Version: pool.Spec.Template.Spec.Version, Artifacts: sortedArtifacts(bundle),
		Cluster: settings, NodeSettings: pool.Spec.Template.Spec.NodeSettings,
	})
	if err != nil {
		return nil, fmt.Errorf("render revision %s: %w", seen.Revision, err)
	}
	infrastructure, err := json.Marshal(pool.Spec.Template.Spec.InfrastructureRef)
	if err != nil {
		return nil, fmt.Errorf("render revision %s: %w", seen.Revision, err)
	}
	number := int64(1)
	for i := range seen.stored {
		number = max(number, seen.stored[i].Revision+1)
	}
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   pool.Namespace,
			Name:        v1alpha1.RevisionName(pool.Name, seen.Revision),
			Labels:      poolLabels(pool, seen.Revision),
			Annotations: map[string]string{v1alpha1.TemplateHashAnnotation: hash, v1alpha1.InfrastructureAnnotation: string(infrastructure)},
			// Not the pool's as well: the garbage collector does not get a reference out of a ControllerRevision, and a
			// pool deleted in the foreground would wait for that for good. Our finalizer deletes it.
			OwnerReferences: clusterOwner(seen),
		},
		Data:     runtime.RawExtension{Raw: spec},
		Revision: number,
	}, nil
}

// storeRevision stores the rendered revision. The cache may not have shown that it is there.
func (r *Reconciler) storeRevision(ctx context.Context, seen *observation) error {
	if seen.rendered == nil {
		return nil
	}
	key := client.ObjectKeyFromObject(seen.rendered)
	err := r.Client.Create(ctx, seen.rendered)
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			return fmt.Errorf("store ControllerRevision %s: %w", key, err)
		}
		return nil
	}
	stored := &appsv1.ControllerRevision{}
	if err := r.APIReader.Get(ctx, key, stored); err != nil {
		return fmt.Errorf("read ControllerRevision %s: %w", key, err)
	}
	return sameTemplate(stored, seen.rendered.Annotations[v1alpha1.TemplateHashAnnotation])
}
