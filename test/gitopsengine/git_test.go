package gitopsengine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// manifests are what a team has in Git: what a pool needs, the pool, and in a later wave something that waits for its nodes. How many
// machines the pool has is for an autoscaler to say.
const manifests = `
apiVersion: fleet.drover.dev/v1alpha1
kind: NodeBundle
metadata: {name: NAME}
spec:
  kubernetesVersion: VERSION
  artifacts:
    - {architecture: amd64, image: "10.88.0.1:5443/bundles/kubernetes@sha256:DIGEST"}
---
apiVersion: simulated.drover.dev/v1
kind: SimulatedMachineTemplate
metadata: {name: small, namespace: NAME}
spec: {template: {spec: {}}}
---
apiVersion: fleet.drover.dev/v1alpha1
kind: NodePool
metadata:
  name: workers
  namespace: NAME
  annotations: {argocd.argoproj.io/sync-wave: "1"}
spec:
  template:
    metadata:
      labels: {tier: web}
    spec:
      version: VERSION
      infrastructureRef: {apiGroup: simulated.drover.dev, kind: SimulatedMachineTemplate, name: small}
      kubelet:
        maxPods: 80
        evictionHard: {memory.available: 0.5Gi}
  rollout:
    maxUnavailable: 50%
  disruption:
    drainTimeoutSeconds: 300
    budgets:
      - {nodes: 20%, schedule: "0 9 * * mon-fri", timeZone: Europe/Berlin, durationSeconds: 3600}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: after
  namespace: NAME
  annotations: {argocd.argoproj.io/sync-wave: "2"}
`

// inGit are the manifests of a namespace and a version of its own, as a bundle is the whole cluster's.
func inGit(t *testing.T, namespace, version string) []*unstructured.Unstructured {
	t.Helper()
	text := strings.NewReplacer("NAME", namespace, "VERSION", version, "DIGEST", strings.Repeat("ab", 32)).Replace(manifests)
	objects, err := kube.SplitYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// version is the n-th of Kubernetes' that a test may call its own.
func version(n int) string { return fmt.Sprintf("v1.36.%d", 10+n) }
