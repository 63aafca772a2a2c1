package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/nodepool"
)

const poolName = "workers"

var (
	errDied        = errors.New("this manager is no more")
	errUnreachable = errors.New("dial tcp 10.88.0.1:6443: connect: connection refused")
)

// manager is one process of Drover's: the real reconciler with a memory, caches and a queue of its own.
type manager struct {
	world      *world
	name       string
	reconciler *nodepool.Reconciler
	caches     [kinds]*cache

	// due is when the pool is looked at next; zero for not at all. A round is under way while working is true, and dirty asks for
	// another after it.
	due            time.Time
	working, dirty bool
	failures       int
	// begun is when the present round began, and calls how many of the API server's answers it took.
	begun time.Time
	calls int
	// deposed has lost its lease, and ends with its present round. A dead one has lost everything.
	deposed, dead bool
	// stopped is since when its cache shows that the fleet is stopped; zero for not.
	stopped time.Time
}

// elect makes a manager that leads from now on.
func (w *world) elect() {
	w.terms++
	m := &manager{world: w, name: fmt.Sprintf("manager-%d", w.terms)}
	for k := range kinds {
		m.caches[k] = newCache(m, k)
	}
	var cached client.Client = &cachedClient{calls: m}
	var live client.Reader = liveReader{calls: m}
	var drainer nodepool.Drainer = drains{m}
	if w.options.Break != nil {
		cached, live, drainer = w.options.Break(w, cached, live, drainer)
	}
	m.reconciler = &nodepool.Reconciler{
		Client: cached, APIReader: live, Drainer: drainer, Clock: &w.timeline, CreateConcurrency: 1, Recorder: silence{},
		Discoverer: nodepool.DiscovererFunc(m.discover),
	}
	m.reconciler.Stop = stopSwitch(cached)
	m.seesStop()
	w.leader = m
	w.managers = append(w.managers, m)
	w.say("%s leads", m.name)
	m.wake(0)
}

// wake has the pool looked at so much later, as a workqueue does: the earliest of several requests is the one that counts.
func (m *manager) wake(later time.Duration) {
	at := m.world.now.Add(later)
	if m.ended() || !m.due.IsZero() && !at.Before(m.due) {
		return
	}
	m.due = at
	m.world.after(later, func() {
		if !m.due.Equal(at) {
			return
		}
		m.due = time.Time{}
		if m.working {
			m.dirty = true
			return
		}
		m.round()
	})
}

func (m *manager) ended() bool { return m.dead || m.deposed }

// round is one call of the real reconciler.
func (m *manager) round() {
	if m.ended() {
		return
	}
	m.working, m.begun, m.calls = true, m.world.now, 0
	m.world.tally.Plans++
	ctx := ctrl.LoggerInto(context.Background(), logr.Discard())
	result, err := m.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: poolName}})
	m.working = false
	if m.ended() || m.world.broken != nil {
		m.world.leave(m)
		return
	}
	switch {
	case err != nil:
		m.failures++
		m.wake(backoff(m.failures))
	case result.RequeueAfter > 0:
		m.failures = 0
		m.wake(result.RequeueAfter)
	default:
		m.failures = 0
	}
	if m.dirty {
		m.dirty = false
		m.wake(0)
	}
}

// leave takes a manager that has ended from those that are told of changes.
func (w *world) leave(m *manager) {
	for i, one := range w.managers {
		if one == m {
			w.managers = append(w.managers[:i:i], w.managers[i+1:]...)
			return
		}
	}
}

// backoff is that of a controller's queue.
func backoff(failures int) time.Duration {
	const first, most = 5 * time.Millisecond, 1000 * time.Second
	if failures > 18 {
		return most
	}
	return min(first<<(failures-1), most)
}

// die ends a manager as SIGKILL does. Another one leads when the lease has run out.
func (m *manager) die() {
	if m.dead {
		return
	}
	m.dead = true
	m.world.say("%s dies", m.name)
	if m.world.leader == m && !m.deposed {
		m.world.after(m.world.between(time.Second, 20*time.Second, "election", m.name, 0), m.world.elect)
	}
	if !m.working {
		m.world.leave(m)
	}
}

// depose takes a manager's lease from it in the midst of what it does.
func (m *manager) depose() {
	m.deposed = true
	m.world.say("%s hangs, and loses its lease", m.name)
	m.world.after(m.world.between(100*time.Millisecond, 3*time.Second, "election", m.name, 0), m.world.elect)
}

// travel is a request's way to the API server, and what else happens meanwhile.
func (m *manager) travel() error {
	w := m.world
	if m.dead || w.broken != nil {
		return errDied
	}
	m.calls++
	w.pass(w.between(time.Millisecond, 12*time.Millisecond, "latency", m.name, w.api.version*64+m.calls), w.over)
	switch {
	case m.dead || w.broken != nil:
		return errDied
	case w.lasts(unreachable):
		return errUnreachable
	}
	return nil
}

// discover is what nodes must know of their cluster.
func (m *manager) discover(context.Context) (v1alpha1.ClusterSettings, error) {
	if m.world.lasts(undiscovered) {
		return v1alpha1.ClusterSettings{}, errors.New("there is no ConfigMap kube-root-ca.crt")
	}
	return facts, nil
}

var facts = v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443", ServerCA: "server", ClientCA: "client"}

// drains empties nodes for a manager.
type drains struct{ m *manager }

// Drain implements nodepool.Drainer.
func (d drains) Drain(_ context.Context, _ *clusterv1.Cluster, machine *clusterv1.Machine, _ metav1.Time) (string, error) {
	if err := d.m.travel(); err != nil {
		return "", err
	}
	return d.m.world.drain(machine.Name), nil
}

// silence is a recorder of events.
type silence struct{}

// Eventf implements events.EventRecorder.
func (silence) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}
