package nodepool_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// earlierHash is the hash of a Drover that had the images and the stored defaults in it.
func earlierHash(t *testing.T, pool *v1alpha1.NodePool, artifacts []v1alpha1.Artifact) string {
	t.Helper()
	spec := pool.Spec.Template.Spec
	raw, err := json.Marshal(map[string]any{
		"poolUID": pool.UID, "version": spec.Version, "infrastructureRef": spec.InfrastructureRef, "settings": spec.NodeSettings, "artifacts": artifacts,
	})
	if err != nil {
		t.Fatal(err)
	}
	var sorted any
	if err := json.Unmarshal(raw, &sorted); err != nil {
		t.Fatal(err)
	}
	if raw, err = json.Marshal(sorted); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
