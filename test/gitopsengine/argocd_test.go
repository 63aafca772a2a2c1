package gitopsengine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/drover-dev/drover/test/luavm"
)

const (
	// instance is the label by which Argo CD knows what is an Application's.
	instance = "app.kubernetes.io/instance"

	poll     = 20 * time.Millisecond
	patience = time.Minute
)

// argoCD has what Argo CD has for a cluster.
type argoCD struct {
	cache   cache.ClusterCache
	kubectl kube.Kubectl
}

// newArgoCD watches the whole cluster, as Argo CD does.
func newArgoCD(t *testing.T) *argoCD {
	t.Helper()
	a := &argoCD{kubectl: kubectl{&kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}}}
	a.cache = cache.NewClusterCache(cluster, cache.SetLogr(logr.Discard()), cache.SetKubectl(a.kubectl),
		cache.SetSettings(cache.Settings{ResourceHealthOverride: scripts{}, ResourcesFilter: everything{}}),
		cache.SetPopulateResourceInfoHandler(func(object *unstructured.Unstructured, isRoot bool) (any, bool) {
			application := object.GetLabels()[instance]
			if !isRoot {
				application = "" // an owner's, which is shown below it
			}
			return application, application != ""
		}))
	if err := a.cache.EnsureSynced(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.cache.Invalidate() })
	return a
}

// application is what a directory of Git is to Argo CD.
type application struct {
	*argoCD
	name       string
	namespace  string
	git        []*unstructured.Unstructured
	serverSide bool
}

// compared is each object that Git or the cluster has of the application.
func (a *application) compared(t *testing.T) sync.ReconciliationResult {
	t.Helper()
	var git []*unstructured.Unstructured
	for _, object := range a.git {
		object = object.DeepCopy()
		object.SetLabels(map[string]string{instance: a.name})
		git = append(git, object)
	}
	live, err := a.cache.GetManagedLiveObjs(git, func(r *cache.Resource) bool { return r.Info == a.name })
	if err != nil {
		t.Fatal(err)
	}
	return sync.Reconcile(git, live, a.namespace, a.cache)
}

// outOfSync are the objects that are not as Git has them, each with what is to be done, and what is different.
func (a *application) outOfSync(t *testing.T) map[string]string {
	t.Helper()
	both := a.compared(t)
	differences, err := diff.DiffArray(both.Target, both.Live, diff.WithLogr(logr.Discard()))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for i, target := range both.Target {
		switch live := both.Live[i]; {
		case target == nil:
			all["prune "+nameOf(live)] = ""
		case live == nil:
			all["make "+nameOf(target)] = ""
		case differences.Diffs[i].Modified:
			all["change "+nameOf(target)] = fmt.Sprintf("it is\n%s\nand is to be\n%s", differences.Diffs[i].NormalizedLive, differences.Diffs[i].PredictedLive)
		}
	}
	return all
}

// sync brings the cluster to what Git has, in as many steps as the waves ask for, and returns what became of each object.
func (a *application) sync(t *testing.T, prune bool) map[string]string {
	t.Helper()
	started, phase, message := metav1.Now(), common.OperationRunning, ""
	var results []common.ResourceSyncResult
	eventually(t, "the sync ends", func(context.Context) string {
		step, clean, err := sync.NewSyncContext("main", a.compared(t), cluster, cluster, a.kubectl, a.namespace, a.cache.GetOpenAPISchema(),
			sync.WithLogr(logr.Discard()), sync.WithHealthOverride(scripts{}), sync.WithInitialState(phase, message, results, started),
			sync.WithOperationSettings(false, prune, false, false), sync.WithServerSideApply(a.serverSide))
		if err != nil {
			t.Fatal(err)
		}
		defer clean()
		step.Sync()
		if phase, message, results = step.GetState(); !phase.Completed() {
			return message
		}
		return ""
	})
	became := map[string]string{}
	for _, result := range results {
		became[result.ResourceKey.Kind+"/"+result.ResourceKey.Name] = string(result.Status)
		if result.Status == common.ResultCodeSyncFailed {
			t.Errorf("%s was not synced: %s", result.ResourceKey.Name, result.Message)
		}
	}
	if phase != common.OperationSucceeded {
		t.Errorf("the sync ended as %s: %s", phase, message)
	}
	return became
}

// tree are the objects that are shown below one.
func (a *argoCD) tree(object *unstructured.Unstructured) (all []string) {
	a.cache.IterateHierarchy(kube.GetResourceKey(object), func(r *cache.Resource, _ map[kube.ResourceKey]*cache.Resource) bool {
		all = append(all, r.Ref.Kind+"/"+r.Ref.Name)
		return true
	})
	slices.Sort(all)
	return slices.Compact(all) // the pool and its Machine both own an infrastructure machine
}

func nameOf(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetName()
}

// everything is watched: Argo CD leaves out what changes all the time and is in nobody's Git.
type everything struct{}

func (everything) IsExcludedResource(_, kind, _ string) bool {
	return kind == "Event" || kind == "Lease"
}

// scripts are those of config/argocd.
type scripts struct{}

// GetResourceHealth is nil for a kind without a script.
func (scripts) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	kind := object.GroupVersionKind()
	script, err := os.ReadFile(filepath.Join(root, "config", "argocd", kind.Group, kind.Kind, "health.lua"))
	if os.IsNotExist(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	text, err := luavm.Run(string(script), object.Object)
	if err != nil {
		return nil, fmt.Errorf("ask the script for %s: %w", kind.Kind, err)
	}
	found := &health.HealthStatus{}
	return found, json.Unmarshal(text, found)
}
