package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/hack/dev/install"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/progress"
	"github.com/drover-dev/drover/hack/dev/world"
)

// Bounds of the upgrade's steps. One of its two nodes is changed after the other, and each has to prove itself.
const (
	upgradeTimeout  = 5 * time.Minute
	rollbackTimeout = 5 * time.Minute
)

// readinessEvery is the time between two looks at whether the nodes are Ready.
const readinessEvery = 50 * time.Millisecond

// upgradeName is the name of the pool, of the Deployment on it and of the Service.
const upgradeName = "upgrade"

//go:embed upgrade.yaml
var upgradeManifest string

// Versions are what the upgrade goes through. Each has a NodeBundle in .drover/samples.
type Versions struct {
	// From and To are of kubelets that work, Broken of one that does not.
	From, To, Broken string
}

// upgrade is a pool of the running demo's that is changed under load.
type upgrade struct {
	*demo
	versions Versions
	load     *load
}

// Upgrade upgrades a pool of the running world in place while its pods are called, then gives it a kubelet that does not work,
// and shows what became of both.
func Upgrade(versions Versions) func(context.Context, *world.World) error {
	return func(ctx context.Context, w *world.World) error {
		if w.State() != world.Running {
			return errors.New("no demo runs in this checkout: run `make demo` first")
		}
		d, err := connect(w)
		if err != nil {
			return err
		}
		u := &upgrade{demo: d, versions: versions}
		if err := u.show(ctx); err != nil {
			return err
		}
		return u.report(ctx, os.Stdout)
	}
}

func (u *upgrade) show(ctx context.Context) error {
	defer func() {
		if u.load != nil {
			u.load.end()
		}
	}()
	steps := []struct {
		name string
		do   func(context.Context, func(string)) error
	}{
		{"NodePool default/upgrade: two nodes of " + u.versions.From, u.begin},
		{"Deployment default/upgrade", func(ctx context.Context, say func(string)) error {
			return u.awaitDeployment(ctx, upgradeKey(), say)
		}},
		{"Call its pods by way of each node, from now on", u.call},
		{"Edit the pool: version " + u.versions.To, u.change(u.versions.To, u.awaitUpgraded)},
		{"Edit the pool: version " + u.versions.Broken + ", whose kubelet ends at once", u.change(u.versions.Broken, u.awaitRolledBack)},
	}
	for _, step := range steps {
		if err := u.Progress.Step(step.name, func(say func(string)) error { return step.do(ctx, say) }); err != nil {
			return err
		}
	}
	return nil
}

func upgradeKey() client.ObjectKey { return client.ObjectKey{Namespace: "default", Name: upgradeName} }

// begin makes the pool anew, so that its nodes are of the version that it begins with.
func (u *upgrade) begin(ctx context.Context, say func(string)) error {
	for _, version := range []string{u.versions.From, u.versions.To, u.versions.Broken} {
		if err := u.applyBundle(ctx, version); err != nil {
			return err
		}
	}
	digests, err := layout.ReadDigests(u.Layout)
	if err != nil {
		return err
	}
	text, err := digests.Render(strings.ReplaceAll(upgradeManifest, "${from}", u.versions.From))
	if err != nil {
		return err
	}
	objects, err := install.Parse([]byte(text))
	if err != nil {
		return err
	}
	if err := u.removeOld(ctx, say); err != nil {
		return err
	}
	if err := install.Apply(ctx, u.client, objects); err != nil {
		return err
	}
	return await(ctx, "the pool "+upgradeKey().String(), upgradeTimeout, say, u.runs(u.versions.From))
}

// applyBundle applies the NodeBundle of a version, unless the demo's own is of that.
func (u *upgrade) applyBundle(ctx context.Context, version string) error {
	bundles := &unstructured.UnstructuredList{}
	bundles.SetGroupVersionKind(poolKind.GroupVersion().WithKind("NodeBundleList"))
	if err := u.client.List(ctx, bundles); err != nil {
		return fmt.Errorf("list the NodeBundles: %w", err)
	}
	for i := range bundles.Items {
		if got, _, _ := unstructured.NestedString(bundles.Items[i].Object, "spec", "kubernetesVersion"); got == version {
			return nil
		}
	}
	objects, err := install.File(filepath.Join(u.Layout.Samples(), "nodebundle-"+version+".yaml"))
	if err != nil {
		return fmt.Errorf("find the bundle of %s: %w: make it with `make demo-upgrade`", version, err)
	}
	return install.Apply(ctx, u.client, objects)
}

func (u *upgrade) removeOld(ctx context.Context, say func(string)) error {
	pool := &unstructured.Unstructured{}
	pool.SetGroupVersionKind(poolKind)
	pool.SetNamespace(upgradeKey().Namespace)
	pool.SetName(upgradeName)
	if err := u.client.Delete(ctx, pool); err != nil {
		return client.IgnoreNotFound(err)
	}
	return await(ctx, "the end of the pool of an earlier run", upgradeTimeout, say, func(ctx context.Context) (string, bool, error) {
		err := u.client.Get(ctx, upgradeKey(), pool)
		return "the pool of an earlier run goes", apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// nodes are the pool's.
func (u *upgrade) nodes(ctx context.Context) ([]corev1.Node, error) {
	var nodes corev1.NodeList
	if err := u.client.List(ctx, &nodes, client.MatchingLabels{"fleet.drover.dev/pool": upgradeName}); err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	return nodes.Items, nil
}

// call begins to call the Service by way of each node.
func (u *upgrade) call(ctx context.Context, say func(string)) error {
	var service corev1.Service
	if err := u.client.Get(ctx, upgradeKey(), &service); err != nil {
		return fmt.Errorf("read the Service: %w", err)
	}
	nodes, err := u.nodes(ctx)
	if err != nil {
		return err
	}
	var urls []string
	for i := range nodes {
		for _, a := range nodes[i].Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				urls = append(urls, fmt.Sprintf("http://%s:%d/", a.Address, service.Spec.Ports[0].NodePort))
			}
		}
	}
	// Each node learns of the pods in a moment of its own.
	for _, url := range urls {
		probe := startLoad(ctx, []string{url})
		err := await(ctx, url, callTimeout, say, func(context.Context) (string, bool, error) {
			calls, failed, last := probe.soFar()
			return last, calls > failed, nil
		})
		probe.end()
		if err != nil {
			return err
		}
	}
	u.load = startLoad(context.WithoutCancel(ctx), urls)
	return nil
}

// change returns the step that edits the pool's version, waits for what comes of it, and says how the calls went meanwhile.
func (u *upgrade) change(version string, awaited func(context.Context, func(string)) error) func(context.Context, func(string)) error {
	return func(ctx context.Context, say func(string)) error {
		callsBefore, failedBefore, _ := u.load.soFar()
		pods, err := u.containers(ctx)
		if err != nil {
			return err
		}
		pool, err := u.read(ctx)
		if err != nil {
			return err
		}
		changed := pool.DeepCopy()
		if err := unstructured.SetNestedField(changed.Object, version, "spec", "template", "spec", "version"); err != nil {
			return err
		}
		unready := u.watchReadiness(ctx)
		if err := u.client.Patch(ctx, changed, client.MergeFrom(pool)); err != nil {
			unready()
			return fmt.Errorf("edit the pool: %w", err)
		}
		err = awaited(ctx, say)
		away := unready()
		if err != nil {
			return err
		}
		calls, failed, last := u.load.soFar()
		after, err := u.containers(ctx)
		if err != nil {
			return err
		}
		u.Progress.Note(fmt.Sprintf("%d calls meanwhile, %d failed; %s; a node was not Ready for %s", calls-callsBefore, failed-failedBefore,
			sameContainers(pods, after), progress.Seconds(away)))
		if failed > failedBefore {
			return fmt.Errorf("%d calls failed, the last one %s", failed-failedBefore, last)
		}
		return nil
	}
}

// watchReadiness looks at the pool's nodes until the function that it returns is called, which says for how long the worst of them was
// not Ready.
func (u *upgrade) watchReadiness(ctx context.Context) (worst func() time.Duration) {
	ctx, stop := context.WithCancel(ctx)
	away := map[string]time.Duration{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for last, tick := time.Now(), time.Tick(readinessEvery); ctx.Err() == nil; <-tick {
			nodes, err := u.nodes(ctx)
			now := time.Now()
			for i := range nodes {
				if err == nil && !ready(&nodes[i]) {
					away[nodes[i].Name] += now.Sub(last)
				}
			}
			last = now
		}
	}()
	return func() (longest time.Duration) {
		stop()
		<-ended
		for _, d := range away {
			longest = max(longest, d)
		}
		return longest
	}
}

func (u *upgrade) read(ctx context.Context) (*unstructured.Unstructured, error) {
	pool := &unstructured.Unstructured{}
	pool.SetGroupVersionKind(poolKind)
	if err := u.client.Get(ctx, upgradeKey(), pool); err != nil {
		return nil, fmt.Errorf("read the pool: %w", err)
	}
	return pool, nil
}

// containers are those that run on the pool, by their IDs.
func (u *upgrade) containers(ctx context.Context) ([]string, error) {
	var pods corev1.PodList
	if err := u.client.List(ctx, &pods, client.InNamespace(upgradeKey().Namespace), client.MatchingLabels{"app": upgradeName}); err != nil {
		return nil, fmt.Errorf("list the pods: %w", err)
	}
	var ids []string
	for i := range pods.Items {
		for _, c := range pods.Items[i].Status.ContainerStatuses {
			ids = append(ids, c.ContainerID)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func sameContainers(before, after []string) string {
	lost := 0
	for _, id := range before {
		if !slices.Contains(after, id) {
			lost++
		}
	}
	if lost == 0 {
		return fmt.Sprintf("the %d containers are the same", len(before))
	}
	return fmt.Sprintf("%d of %d containers are others", lost, len(before))
}

// runs is the state of a pool whose nodes are to be of a version.
func (u *upgrade) runs(version string) func(context.Context) (string, bool, error) {
	return func(ctx context.Context) (string, bool, error) {
		pool, err := u.read(ctx)
		if err != nil {
			return "", false, err
		}
		detail, done := poolState(pool)
		if status, _ := install.Condition(pool, "Stalled"); status == "True" {
			return "", false, errors.New(detail)
		}
		nodes, err := u.nodes(ctx)
		if err != nil {
			return "", false, err
		}
		of := 0
		for i := range nodes {
			if nodes[i].Status.NodeInfo.KubeletVersion == version {
				of++
			}
		}
		return fmt.Sprintf("%d of 2 nodes run %s; %s", of, version, detail), done && of == 2, nil
	}
}

func (u *upgrade) awaitUpgraded(ctx context.Context, say func(string)) error {
	return await(ctx, "the upgrade", upgradeTimeout, say, u.runs(u.versions.To))
}

// awaitRolledBack waits until the pool says that what it is to run was rolled back, and its nodes are Ready with what they ran.
func (u *upgrade) awaitRolledBack(ctx context.Context, say func(string)) error {
	return await(ctx, "the rollback", rollbackTimeout, say, func(ctx context.Context) (string, bool, error) {
		pool, err := u.read(ctx)
		if err != nil {
			return "", false, err
		}
		status, message := install.Condition(pool, "Stalled")
		nodes, err := u.nodes(ctx)
		if err != nil {
			return "", false, err
		}
		for i := range nodes {
			if !ready(&nodes[i]) || nodes[i].Status.NodeInfo.KubeletVersion != u.versions.To {
				return nodes[i].Name + " is not back yet", false, nil
			}
		}
		// The Node stays Ready while its kubelet is started again.
		if well, _, err := unstructured.NestedInt64(pool.Object, "status", "readyReplicas"); err != nil || well < int64(len(nodes)) {
			return fmt.Sprintf("%d of %d nodes are well again", well, len(nodes)), false, err
		}
		return message, status == "True", nil
	})
}

func ready(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// report prints what the pool says, and how to go on.
func (u *upgrade) report(ctx context.Context, out io.Writer) error {
	tree, err := u.tree(ctx)
	if err != nil {
		return err
	}
	pool, err := u.read(ctx)
	if err != nil {
		return err
	}
	_, message := install.Condition(pool, "Stalled")
	_, err = fmt.Fprintf(out, `
$ kubectl get dnp upgrade -o jsonpath='{.status.conditions[?(@.type=="Stalled")].message}'
%s

$ kubectl drover tree
%s
The pool stays as it is. What it runs, and what it is to run instead, is for you to edit:

  export KUBECONFIG=%s PATH=%s:$PATH
  kubectl patch dnp upgrade --type=merge --patch='{"spec": {"template": {"spec": {"version": "%s"}}}}'

`, message, tree, u.Layout.Kubeconfig(), u.Layout.Bin(), u.versions.To)
	return err
}
