package sim

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
)

// Breaker puts something that does the wrong thing between the reconciler and the world, to see that it is found.
type Breaker func(w *world, cached client.Client, live client.Reader, drainer nodepool.Drainer) (client.Client, client.Reader, nodepool.Drainer)

// Options say which week is run.
type Options struct {
	Seed uint64
	// Only are the numbers of the week's events that happen. Nil: all do.
	Only []int
	// Tell has Result.Told say what happened.
	Tell bool
	// Break is for tests of the simulation, and so is Hold: the invariants that the week is held to. Nil: all.
	Break Breaker
	Hold  []*invariant
}

// Result is what became of a week.
type Result struct {
	Seed uint64
	// Violation is nil for one in which all went well.
	Violation *Violation
	Tally     Tally
	// Happened are the events that happened.
	Happened []event
	// Told is what happened, line by line.
	Told []string
}

// Violation is an invariant that was broken.
type Violation struct {
	// Invariant is its name.
	Invariant string
	// Message says what happened.
	Message string
	// At is the time since the week began.
	At time.Duration
}

// world is the API server's content and everything that acts on it.
type world struct {
	timeline
	dice
	options Options
	api     *api
	tally   Tally

	managers []*manager
	leader   *manager
	// writer is the manager whose write is being made; nil for anybody else's.
	writer *manager
	terms  int

	// armed are the faults that writes will run into, and until is when those that last end.
	armed   []armed
	until   map[*happening]time.Time
	counted map[*happening]time.Time

	boxes    map[string]*box
	user     user
	statuses []v1alpha1.NodePoolStatus
	// held are the invariants that must hold.
	held   []*invariant
	watch  *watch
	broken *Violation
	// healed is when all faults ended last.
	healed   time.Time
	happened []event
	told     []string
}

// newWorld is one in which nothing has happened yet.
func newWorld(options Options) *world {
	w := &world{
		timeline: timeline{now: epoch}, dice: dice(options.Seed), options: options, boxes: map[string]*box{},
		until: map[*happening]time.Time{}, counted: map[*happening]time.Time{},
	}
	w.tally.Happened = map[string]int{}
	if w.held = options.Hold; w.held == nil {
		w.held = invariants
	}
	w.watch = newWatch(w)
	w.api = &api{clock: &w.timeline, changed: w.changed}
	w.furnish()
	return w
}

// Run runs a week.
func Run(options Options) Result {
	w := newWorld(options)
	storms, story := storyOf(options.Seed)
	for _, e := range story {
		if options.Only == nil || slices.Contains(options.Only, e.id) {
			w.after(e.at, func() { w.happen(e) })
		}
	}
	for i, begins := range storms {
		w.after(begins+storm, w.heal)
		w.after(begins+storm+Bound, w.mustBeQuiet)
		w.after(time.Duration(i+1)*day-time.Millisecond, w.endDay)
	}
	w.elect()
	w.pass(days*day, w.over)
	return Result{Seed: options.Seed, Violation: w.broken, Tally: w.tally, Happened: w.happened, Told: w.told}
}

// endDay looks at the pool once more, and counts the day.
func (w *world) endDay() {
	w.mustBeQuiet()
	w.tally.endDay()
}

func (w *world) over() bool { return w.broken != nil }

// clockTime is the time since the week began.
func (w *world) clockTime() time.Duration { return w.now.Sub(epoch) }

// changed tells all who watch of a write.
func (w *world) changed(c change) {
	w.watch.see(c, w.writer)
	for _, m := range w.managers {
		m.sees(c)
	}
	w.fleetSees(c)
}

// furnish makes what is there before the week begins: a cluster with its bundles, templates and one pool.
func (w *world) furnish() {
	cluster := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: v1alpha1.AdoptedClusterName, Labels: map[string]string{v1alpha1.ManagedLabel: "true"},
	}}
	cluster.Status.Initialization.ControlPlaneInitialized = ptr.To(true)
	objects := []client.Object{cluster, newStop()}
	for _, version := range versions {
		objects = append(objects, &v1alpha1.NodeBundle{
			ObjectMeta: metav1.ObjectMeta{Name: version},
			Spec: v1alpha1.NodeBundleSpec{KubernetesVersion: version, Artifacts: []v1alpha1.Artifact{{
				Architecture: "amd64", Image: "10.88.0.1:5443/bundles/kubernetes@sha256:" + fmt.Sprintf("%064x", len(objects)),
			}}},
		})
	}
	for i, name := range sizes {
		template := &unstructured.Unstructured{Object: map[string]any{
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"cpus": int64(2 + i)}}},
		}}
		template.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kindNames[templates]))
		template.SetNamespace(namespace)
		template.SetName(name)
		objects = append(objects, template)
	}
	for _, object := range objects {
		if err := w.api.create(object); err != nil {
			panic(err)
		}
	}
	w.user.template = templateOf(1)
	w.createPool()
}

func (w *world) pool() *v1alpha1.NodePool { return of[*v1alpha1.NodePool](w.api, pools, poolName) }

// machines are those that stay, by name.
func (w *world) machines() []*clusterv1.Machine {
	var list []*clusterv1.Machine
	for _, object := range w.api.tables[machines] {
		if m := as[*clusterv1.Machine](object); m.DeletionTimestamp.IsZero() {
			list = append(list, m)
		}
	}
	return list
}

func (w *world) anyMachine(number int) *clusterv1.Machine {
	list := w.machines()
	if len(list) == 0 {
		return nil
	}
	return list[number%len(list)]
}

func (w *world) machine(name string) *clusterv1.Machine {
	return of[*clusterv1.Machine](w.api, machines, name)
}

func (w *world) agent(name string) *v1alpha1.NodeAgent {
	return of[*v1alpha1.NodeAgent](w.api, agents, name)
}

func (w *world) node(name string) *corev1.Node { return of[*corev1.Node](w.api, nodes, name) }

// say notes what happened, for who wants to be told.
func (w *world) say(format string, args ...any) {
	if w.options.Tell {
		w.told = append(w.told, clock(w.clockTime())+"  "+fmt.Sprintf(format, args...))
	}
}

func (w *world) sayWrite(m *manager, k kind, name string, err error) {
	switch {
	case !w.options.Tell:
	case err != nil:
		w.say("%s: write of %s %s: %v", m.name, k, name, err)
	default:
		w.say("%s: wrote %s %s: %s", m.name, k, name, w.describe(k, name))
	}
}

// violate notes that an invariant does not hold. The first is the one that counts.
func (w *world) violate(invariant, format string, args ...any) {
	if w.broken == nil {
		w.broken = &Violation{Invariant: invariant, Message: fmt.Sprintf(format, args...), At: w.clockTime()}
		w.say("BROKEN %s: %s", invariant, w.broken.Message)
	}
}
