package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestAPoolThatCannotGetOnIsStalledAndSaysWhatToDo(t *testing.T) {
	cases := map[string]struct {
		change func(*fleetv1.NodePool)
		reason string
		names  string
	}{
		"no bundle has the version": {
			change: func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = "v1.2.3" },
			reason: fleetv1.ReasonBundleNotFound, names: "v1.2.3",
		},
		"the template does not exist": {
			change: func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.InfrastructureRef.Name = "nowhere" },
			reason: fleetv1.ReasonTemplateNotFound, names: "nowhere",
		},
		"the template's kind does not exist": {
			change: func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.InfrastructureRef.Kind = "MoonMachineTemplate" },
			reason: fleetv1.ReasonTemplateNotFound, names: "MoonMachineTemplate",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pool := world.newPool(t, "e2e-stalled", 1, c.change)
			if message := world.awaitCondition(t, pool.Name, fleetv1.StalledCondition, c.reason); !strings.Contains(message, c.names) {
				t.Errorf("the message does not name %s: %s", c.names, message)
			}
			eventually(t, podsDeadline, "an event says so, too", func(ctx context.Context) error { return hasEvent(ctx, pool, c.reason, c.names) })
			if machines, err := world.machines(t.Context(), pool.Name); err != nil || len(machines) != 0 {
				t.Errorf("a stalled pool made machines: %v, %v", names(&clusterv1.MachineList{Items: machines}), err)
			}
			world.deletePool(t, pool)
		})
	}
}

// A machine whose bundle cannot be had says so itself: its agent has an identity by then.
func testABundleThatCannotBeFetchedIsReportedByTheAgentAndThePool(t *testing.T) {
	image := corruptBundle(t)
	_, digest, _ := strings.Cut(image, "@")
	cases := map[string]struct{ version, image, says string }{
		"a byte of it was flipped":      {version: "v1.36.98", image: image, says: "digest"},
		"nothing serves it":             {version: "v1.36.97", image: "10.88.0.1:5999/bundles/kubernetes@" + digest, says: "10.88.0.1:5999"},
		"the endpoint does not have it": {version: "v1.36.96", image: "10.88.0.1:5443/bundles/nothing@" + digest, says: "bundles/nothing"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			poolName := "e2e-fetch-" + strings.ReplaceAll(c.version, ".", "-")
			bundle := &fleetv1.NodeBundle{
				ObjectMeta: metav1.ObjectMeta{Name: poolName},
				Spec:       fleetv1.NodeBundleSpec{KubernetesVersion: c.version, Artifacts: []fleetv1.Artifact{{Architecture: "amd64", Image: c.image}}},
			}
			if err := world.Create(t.Context(), bundle); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = world.Delete(context.WithoutCancel(t.Context()), bundle) })
			pool := world.newPool(t, poolName, 1, func(pool *fleetv1.NodePool) { pool.Spec.Template.Spec.Version = c.version })
			eventually(t, podsDeadline, "the agent reports the failure", func(ctx context.Context) error {
				return reports(ctx, pool.Name, fleetv1.ReasonBundleFetchFailed, c.says)
			})
			eventually(t, podsDeadline, "the pool's events do too", func(ctx context.Context) error {
				return hasEvent(ctx, pool, fleetv1.ReasonJoinFailed, c.says)
			})
		})
	}
}

// reports wants a condition with the reason, whose message has the text, in the pool's only NodeAgent.
func reports(ctx context.Context, pool, reason, text string) error {
	var agents fleetv1.NodeAgentList
	if err := world.List(ctx, &agents, client.MatchingLabels{fleetv1.PoolLabel: pool}); err != nil {
		return err
	}
	if len(agents.Items) != 1 {
		return fmt.Errorf("there are %d NodeAgents", len(agents.Items))
	}
	conditions := agents.Items[0].Status.Conditions
	for _, c := range conditions {
		if c.Reason == reason && strings.Contains(c.Message, text) {
			return nil
		}
	}
	return fmt.Errorf("conditions are %s", describe(conditions))
}

func hasEvent(ctx context.Context, pool *fleetv1.NodePool, reason, text string) error {
	var events eventsv1.EventList
	if err := world.List(ctx, &events, client.InNamespace(pool.Namespace)); err != nil {
		return err
	}
	var seen []string
	for _, event := range events.Items {
		if event.Regarding.UID != pool.UID {
			continue
		}
		if event.Reason == reason && strings.Contains(event.Note, text) {
			return nil
		}
		seen = append(seen, event.Reason+": "+event.Note)
	}
	return fmt.Errorf("events are %q", seen)
}

// corruptBundle serves a bundle of its own digest with one byte of its largest layer flipped, and returns its name.
func corruptBundle(t *testing.T) string {
	t.Helper()
	artifacts := filepath.Join(world.Root, ".drover", "artifacts", "bundles")
	index := must[v1.ImageIndex](t)(layout.ImageIndexFromPath(filepath.Join(artifacts, "kubernetes")))
	manifest := must[*v1.IndexManifest](t)(index.IndexManifest())
	good := must[v1.Image](t)(index.Image(manifest.Manifests[0].Digest))
	corrupt, ok := mutate.Annotations(good, map[string]string{"dev.drover.test": "corrupt"}).(v1.Image)
	if !ok {
		t.Fatal("an annotated image is no image")
	}
	dir := filepath.Join(artifacts, "e2e-corrupt")
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := must[layout.Path](t)(layout.Write(dir, empty.Index))
	if err := path.AppendImage(corrupt); err != nil {
		t.Fatal(err)
	}
	flipByte(t, dir, largestLayer(t, corrupt))
	return "10.88.0.1:5443/bundles/e2e-corrupt@" + must[v1.Hash](t)(corrupt.Digest()).String()
}

func largestLayer(t *testing.T, image v1.Image) v1.Hash {
	t.Helper()
	var largest v1.Descriptor
	for _, layer := range must[*v1.Manifest](t)(image.Manifest()).Layers {
		if layer.Size > largest.Size {
			largest = layer
		}
	}
	return largest.Digest
}

func flipByte(t *testing.T, dir string, digest v1.Hash) {
	t.Helper()
	file := must[*os.File](t)(os.OpenFile(filepath.Join(dir, "blobs", digest.Algorithm, digest.Hex), os.O_RDWR, 0))
	defer func() { _ = file.Close() }()
	one := make([]byte, 1)
	middle := must[os.FileInfo](t)(file.Stat()).Size() / 2
	if _, err := file.ReadAt(one, middle); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 1
	if _, err := file.WriteAt(one, middle); err != nil {
		t.Fatal(err)
	}
}
