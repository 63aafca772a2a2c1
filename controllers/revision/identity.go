package revision

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
)

// nameLength is the number of hexadecimal digits in a revision's name.
const nameLength = 10

// Identity is what makes a pool's template one revision or another.
type Identity struct {
	pool      *v1alpha1.NodePool
	hash      string
	artifacts []v1alpha1.Artifact
	// content is the hash of the infrastructure template's spec, and object which object it is in which generation; both are
	// empty where it is not there.
	content, object string
}

// Of is the identity of a pool's template, with the infrastructure template and the bundle that its names stand for. The
// former may be nil, when it is not there: the identity has no name then.
func Of(pool *v1alpha1.NodePool, infrastructure *unstructured.Unstructured, bundle *v1alpha1.NodeBundle) (*Identity, error) {
	hash, err := hash2(pool)
	if err != nil {
		return nil, err
	}
	i := &Identity{pool: pool, hash: hash, artifacts: desired.Sorted(bundle.Spec.Artifacts)}
	if infrastructure == nil {
		return i, nil
	}
	if i.content, err = sumOf(infrastructure.Object["spec"]); err != nil {
		return nil, err
	}
	i.object = string(infrastructure.GetUID()) + "/" + strconv.FormatInt(infrastructure.GetGeneration(), 10)
	return i, nil
}

// Name is that of a new revision; empty where the infrastructure template is not there.
func (i *Identity) Name() string {
	if i.content == "" {
		return ""
	}
	digests := map[string]string{}
	for _, artifact := range i.artifacts {
		digests[artifact.Architecture] = desired.Digest(artifact)
	}
	sum, err := sumOf(map[string]any{"template": i.hash, "infrastructure": i.content, "digests": digests})
	if err != nil {
		panic(err) // strings always can be encoded
	}
	return sum[:nameLength]
}

// Annotations are those of a new revision.
func (i *Identity) Annotations() (map[string]string, error) {
	ref, err := json.Marshal(i.pool.Spec.Template.Spec.InfrastructureRef)
	if err != nil {
		return nil, fmt.Errorf("encode an infrastructureRef: %w", err)
	}
	return map[string]string{
		v1alpha1.TemplateHashAnnotation:         i.hash,
		v1alpha1.InfrastructureAnnotation:       string(ref),
		v1alpha1.InfrastructureHashAnnotation:   i.content,
		v1alpha1.InfrastructureObjectAnnotation: i.object,
	}, nil
}

// Find is the stored revision that the template is, nil for none. Where it could be several, as of bundles that share no
// architecture, it is the one that says most of the present bundle, and of those the current one or else the newest. One that
// cannot be read is none.
func (i *Identity) Find(stored []appsv1.ControllerRevision, current string) (*appsv1.ControllerRevision, error) {
	var found *appsv1.ControllerRevision
	var best [3]int64
	for n := range stored {
		shared, is, err := i.matches(&stored[n])
		var unusable *desired.UnusableError
		if errors.As(err, &unusable) {
			continue
		}
		if err != nil {
			return nil, err
		}
		rank := [3]int64{int64(shared), 0, stored[n].Revision}
		if stored[n].Labels[v1alpha1.RevisionLabel] == current {
			rank[1] = 1
		}
		if is && (found == nil || slices.Compare(rank[:], best[:]) > 0) {
			found, best = &stored[n], rank
		}
	}
	return found, nil
}

// Is says whether a stored revision is the template's.
func (i *Identity) Is(stored *appsv1.ControllerRevision) (bool, error) {
	_, is, err := i.matches(stored)
	return is, err
}

// matches says whether a stored revision is the template's, and how many architectures both have an artifact for.
func (i *Identity) matches(stored *appsv1.ControllerRevision) (shared int, is bool, err error) {
	known, err := desired.Artifacts(stored)
	if err != nil {
		return 0, false, err
	}
	hash := i.hash
	if !strings.HasPrefix(stored.Annotations[v1alpha1.TemplateHashAnnotation], prefix2) {
		// By the images that it was made with, wherever they are now.
		first, err := desired.FirstArtifacts(stored)
		if err != nil {
			return 0, false, err
		}
		if hash, err = hash1(i.pool, first); err != nil {
			return 0, false, err
		}
	}
	if stored.Annotations[v1alpha1.TemplateHashAnnotation] != hash || !i.sameInfrastructure(stored) {
		return 0, false, nil
	}
	for _, has := range known {
		for _, wants := range i.artifacts {
			if has.Architecture != wants.Architecture {
				continue
			}
			if desired.Digest(has) != desired.Digest(wants) {
				return 0, false, nil
			}
			shared++
		}
	}
	return shared, true, nil
}

// sameInfrastructure says whether a stored revision's machines are made from the infrastructure template as it is. The name
// is in the hash. What is not known, on either side, is no difference.
func (i *Identity) sameInfrastructure(stored *appsv1.ControllerRevision) bool {
	content := stored.Annotations[v1alpha1.InfrastructureHashAnnotation]
	return content == "" || i.content == "" || content == i.content || stored.Annotations[v1alpha1.InfrastructureObjectAnnotation] == i.object
}

// Learn is a stored revision of the template with what it does not know yet: the artifacts of architectures that the bundle
// got since, and, where an earlier Drover stored it, the infrastructure template as it is now. It is nil where there is
// nothing to learn. It is to be stored at once: what is learned later may be another one's.
func (i *Identity) Learn(stored *appsv1.ControllerRevision) (*appsv1.ControllerRevision, error) {
	known, err := desired.Artifacts(stored)
	if err != nil {
		return nil, err
	}
	first, err := desired.FirstArtifacts(stored)
	if err != nil {
		return nil, err
	}
	knows := func(list []v1alpha1.Artifact, architecture string) bool {
		return slices.ContainsFunc(list, func(a v1alpha1.Artifact) bool { return a.Architecture == architecture })
	}
	learned := map[string]string{}
	all := slices.Concat(known, slices.DeleteFunc(slices.Clone(i.artifacts), func(a v1alpha1.Artifact) bool { return knows(known, a.Architecture) }))
	if len(all) > len(known) {
		further := slices.DeleteFunc(desired.Sorted(all), func(a v1alpha1.Artifact) bool { return knows(first, a.Architecture) })
		raw, err := json.Marshal(further)
		if err != nil {
			return nil, fmt.Errorf("encode the artifacts of ControllerRevision %s: %w", client.ObjectKeyFromObject(stored), err)
		}
		learned[v1alpha1.ArtifactsAnnotation] = string(raw)
	}
	if stored.Annotations[v1alpha1.InfrastructureHashAnnotation] == "" && i.content != "" {
		learned[v1alpha1.InfrastructureHashAnnotation], learned[v1alpha1.InfrastructureObjectAnnotation] = i.content, i.object
	}
	if len(learned) == 0 {
		return nil, nil
	}
	wiser := stored.DeepCopy()
	if wiser.Annotations == nil {
		wiser.Annotations = map[string]string{}
	}
	for key, value := range learned {
		wiser.Annotations[key] = value
	}
	return wiser, nil
}
