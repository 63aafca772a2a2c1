package desired

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Spec is what a node of a revision is to run in a cluster: what creates a NodeAgent, writes a bootstrap document and
// changes a NodeAgent to another revision has it from here. The cluster of a NodeAgent that exists is its own, which the
// nodeagent controller keeps current. The bundle is the revision's, nil for none (see bundleOf).
//
// A revision that an earlier Drover stored has a cluster in it, as it was then. It counts for nothing.
func Spec(revision *appsv1.ControllerRevision, bundle *v1alpha1.NodeBundle, cluster v1alpha1.ClusterSettings) (v1alpha1.NodeAgentSpec, error) {
	spec, err := stored(revision)
	if err != nil {
		return v1alpha1.NodeAgentSpec{}, err
	}
	further, err := furtherArtifacts(revision)
	if err != nil {
		return v1alpha1.NodeAgentSpec{}, err
	}
	spec.Artifacts = located(append(spec.Artifacts, further...), bundle)
	spec.Cluster = *cluster.DeepCopy()
	return spec, nil
}

// Facts finds out what nodes must know about their cluster.
type Facts interface {
	// Discover is for a node that knows nothing yet. It returns all of it, or an error that says what to do.
	Discover(ctx context.Context) (v1alpha1.ClusterSettings, error)
	// Update is for a node that has facts already. It returns all of them, with what changed, or an error.
	Update(ctx context.Context, has v1alpha1.ClusterSettings) (v1alpha1.ClusterSettings, error)
}

// SpecOf is the Spec with the bundle that the reader has.
func SpecOf(ctx context.Context, reader client.Reader, revision *appsv1.ControllerRevision, cluster v1alpha1.ClusterSettings) (v1alpha1.NodeAgentSpec, error) {
	bundle, err := bundleOf(ctx, reader, revision)
	if err != nil {
		return v1alpha1.NodeAgentSpec{}, err
	}
	return Spec(revision, bundle, cluster)
}

// Set makes a spec ask for what another one does, as far as a revision and the facts of the cluster go. What others keep in
// it stays: the agent, where the revision names none.
func Set(spec *v1alpha1.NodeAgentSpec, wanted v1alpha1.NodeAgentSpec) {
	spec.Revision, spec.Version, spec.Artifacts = wanted.Revision, wanted.Version, wanted.Artifacts
	spec.Cluster, spec.NodeSettings = wanted.Cluster, wanted.NodeSettings
	if wanted.Agent != nil {
		spec.Agent = wanted.Agent
	}
}

// Artifacts are those that a revision stands for: what it was made with, and what its NodeBundle got for other
// architectures since. They are sorted by architecture.
func Artifacts(revision *appsv1.ControllerRevision) ([]v1alpha1.Artifact, error) {
	spec, err := stored(revision)
	if err != nil {
		return nil, err
	}
	further, err := furtherArtifacts(revision)
	if err != nil {
		return nil, err
	}
	return Sorted(append(spec.Artifacts, further...)), nil
}

// FirstArtifacts are those that a revision was made with.
func FirstArtifacts(revision *appsv1.ControllerRevision) ([]v1alpha1.Artifact, error) {
	spec, err := stored(revision)
	return spec.Artifacts, err
}

// bundleOf is the NodeBundle of a revision: of those of its version, one that has the digests that the revision knows. Of
// several, which differ in where the images are, it is the newest. Where none has any of them it is nil, or the one bundle that
// has the version, which may be for other architectures.
func bundleOf(ctx context.Context, reader client.Reader, revision *appsv1.ControllerRevision) (*v1alpha1.NodeBundle, error) {
	spec, err := stored(revision)
	if err != nil {
		return nil, err
	}
	all, err := Artifacts(revision)
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.NodeBundleList{}
	if err := reader.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list NodeBundles: %w", err)
	}
	list.Items = slices.DeleteFunc(list.Items, func(b v1alpha1.NodeBundle) bool { return b.Spec.KubernetesVersion != spec.Version })
	if len(list.Items) == 1 {
		return &list.Items[0], nil
	}
	known := byArchitecture(all)
	var found *v1alpha1.NodeBundle
	for i := range list.Items {
		b := &list.Items[i]
		there := byArchitecture(b.Spec.Artifacts)
		if known.meet(there) && known.agree(there) && (found == nil || newer(b, found)) {
			found = b
		}
	}
	return found, nil
}

func newer(a, b *v1alpha1.NodeBundle) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) > 0
}

// Sorted has artifacts in the order of their architectures.
func Sorted(artifacts []v1alpha1.Artifact) []v1alpha1.Artifact {
	return slices.SortedFunc(slices.Values(artifacts), func(a, b v1alpha1.Artifact) int { return cmp.Compare(a.Architecture, b.Architecture) })
}

// Digest is that of an artifact, wherever it is.
func Digest(artifact v1alpha1.Artifact) string {
	_, digest, _ := strings.Cut(artifact.Image, "@")
	return digest
}

// UnusableError says that what is stored of a revision cannot be read: time alone does not mend that.
type UnusableError struct{ err error }

func (e *UnusableError) Error() string { return e.err.Error() }
func (e *UnusableError) Unwrap() error { return e.err }

func stored(revision *appsv1.ControllerRevision) (spec v1alpha1.NodeAgentSpec, err error) {
	if err := json.Unmarshal(revision.Data.Raw, &spec); err != nil {
		return spec, &UnusableError{fmt.Errorf("read ControllerRevision %s: %w", client.ObjectKeyFromObject(revision), err)}
	}
	return spec, nil
}

func furtherArtifacts(revision *appsv1.ControllerRevision) (further []v1alpha1.Artifact, err error) {
	text, ok := revision.Annotations[v1alpha1.ArtifactsAnnotation]
	if !ok {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &further); err != nil {
		return nil, &UnusableError{fmt.Errorf("read annotation %s of ControllerRevision %s: %w", v1alpha1.ArtifactsAnnotation, client.ObjectKeyFromObject(revision), err)}
	}
	return further, nil
}

// located has the artifacts of a revision where the bundle has them now, and those for architectures that the revision does
// not know. A bundle with another digest is another one, and tells nothing.
func located(known []v1alpha1.Artifact, bundle *v1alpha1.NodeBundle) []v1alpha1.Artifact {
	found := byArchitecture(known)
	if bundle == nil {
		return Sorted(slices.Collect(maps.Values(found)))
	}
	if there := byArchitecture(bundle.Spec.Artifacts); found.agree(there) {
		maps.Copy(found, there)
	}
	return Sorted(slices.Collect(maps.Values(found)))
}
