package desired

import (
	"context"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// Restore makes a NodeAgent's spec ask for what the revision that it names stands for, where it does not. Where
// a bundle's images are is no part of that; nor are those for architectures that the revision does not know, whatever the
// NodeBundle has for these by now; nor is the agent where the revision names none.
func Restore(ctx context.Context, reader client.Reader, spec *v1alpha1.NodeAgentSpec, revision *appsv1.ControllerRevision) error {
	wanted, err := SpecOf(ctx, reader, revision, spec.Cluster)
	if err != nil {
		return err
	}
	first, err := FirstArtifacts(revision)
	if err != nil {
		return err
	}
	all, err := Artifacts(revision)
	if err != nil {
		return err
	}
	has, known, next := byArchitecture(spec.Artifacts), byArchitecture(all), byArchitecture(wanted.Artifacts)
	if spec.Version == wanted.Version && equality.Semantic.DeepEqual(spec.NodeSettings, wanted.NodeSettings) && hasRelease(spec, &wanted) && has.agree(known) && has.cover(first) {
		return nil
	}
	for architecture, artifact := range has {
		if _, ok := known[architecture]; !ok {
			next[architecture] = artifact
		}
	}
	wanted.Revision, wanted.Artifacts = spec.Revision, Sorted(slices.Collect(maps.Values(next)))
	Set(spec, wanted)
	return nil
}

// artifacts are those of a bundle, by architecture.
type artifacts map[string]v1alpha1.Artifact

func byArchitecture(list []v1alpha1.Artifact) artifacts {
	found := make(artifacts, len(list))
	for _, artifact := range list {
		found[artifact.Architecture] = artifact
	}
	return found
}

// agree says whether no architecture has two digests.
func (a artifacts) agree(others artifacts) bool {
	for architecture, other := range others {
		if has, ok := a[architecture]; ok && Digest(has) != Digest(other) {
			return false
		}
	}
	return true
}

// meet says whether both have an artifact for some architecture.
func (a artifacts) meet(others artifacts) bool {
	for architecture := range others {
		if _, ok := a[architecture]; ok {
			return true
		}
	}
	return false
}

// cover says whether each of some others is of an architecture that there is one for.
func (a artifacts) cover(others []v1alpha1.Artifact) bool {
	for _, other := range others {
		if _, ok := a[other.Architecture]; !ok {
			return false
		}
	}
	return true
}
