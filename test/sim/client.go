package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// cache is what a manager's informer of a kind has shown so far. It lags behind: each change is seen some time after it was
// made, in order, and each kind's are as late as they like.
type cache struct {
	objects table
	// latest is when the latest change will have been seen, and stuck until when none is; counted is the stuck that was met.
	latest, stuck, counted time.Time
	behind                 int
}

func newCache(m *manager, k kind) *cache {
	return &cache{objects: slices.Clone(m.world.api.tables[k])}
}

// sees has a manager's cache show a change in due time, and the reconciler woken by it where that is what it watches for.
func (m *manager) sees(c change) {
	w, cached := m.world, m.caches[c.kind]
	lag := w.between(time.Millisecond, 200*time.Millisecond, "lag", m.name, w.api.version)
	if w.oneIn(30, "slow", m.name, w.api.version) {
		lag *= 20
	}
	at := w.now.Add(lag)
	if cached.stuck.After(at) {
		at = cached.stuck
		if !cached.counted.Equal(at) {
			cached.counted = at
			w.count(lateCache)
		}
	}
	if cached.latest.After(at) {
		at = cached.latest
	}
	cached.latest = at
	cached.behind++
	w.after(at.Sub(w.now), func() {
		if m.dead {
			return
		}
		cached.behind--
		cached.objects.set(c.name(), c.after)
		if c.kind == configs {
			m.seesStop()
			m.wake(0)
			return
		}
		if !m.reconciler.Notices(c.before, c.after) {
			return
		}
		if c.kind == machines || c.kind == agents {
			m.wake(gathering)
		} else {
			m.wake(0)
		}
	})
}

// gathering is how long the controller gathers the events of Machines and NodeAgents for.
const gathering = 100 * time.Millisecond

// cachedClient reads from a manager's caches and writes. What it lacks nobody calls.
type cachedClient struct {
	client.Client
	calls *manager
}

// Get implements client.Reader.
func (c *cachedClient) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if c.calls.dead {
		return errDied
	}
	return c.calls.get(c.calls.caches[kindOf(into)].objects, key, into)
}

// List implements client.Reader.
func (c *cachedClient) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	if c.calls.dead {
		return errDied
	}
	cached := c.calls.caches[kindOf(list)]
	if cached.behind > 0 {
		c.calls.world.tally.StaleReads++
	}
	listFrom(cached.objects, list, options)
	return nil
}

// Create implements client.Writer.
func (c *cachedClient) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	return c.calls.write(kindOf(object), object.GetName(), func() error {
		if w := c.calls.world; kindOf(object) == machines && w.lasts(quota) {
			return apierrors.NewForbidden(resource(machines), object.GetName(), errors.New("exceeded quota"))
		}
		return c.calls.world.api.create(object)
	})
}

// Delete implements client.Writer.
func (c *cachedClient) Delete(_ context.Context, object client.Object, options ...client.DeleteOption) error {
	o := (&client.DeleteOptions{}).ApplyOptions(options)
	return c.calls.write(kindOf(object), object.GetName(), func() error {
		return c.calls.world.api.remove(kindOf(object), object.GetName(), o.Preconditions)
	})
}

// Patch implements client.Writer.
func (c *cachedClient) Patch(_ context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
	return c.calls.write(kindOf(object), object.GetName(), func() error { return c.calls.world.api.patch(object, patch, false) })
}

// Status implements client.StatusClient.
func (c *cachedClient) Status() client.SubResourceWriter { return statusWriter{calls: c.calls} }

// RESTMapper implements client.Client.
func (c *cachedClient) RESTMapper() meta.RESTMapper { return mapper }

var mapper = func() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion})
	for _, name := range []string{kindNames[infra], kindNames[templates]} {
		m.Add(v1alpha1.GroupVersion.WithKind(name), meta.RESTScopeNamespace)
	}
	return m
}()

type statusWriter struct {
	client.SubResourceWriter
	calls *manager
}

// Patch implements client.SubResourceWriter.
func (s statusWriter) Patch(_ context.Context, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	return s.calls.write(kindOf(object), object.GetName(), func() error { return s.calls.world.api.patch(object, patch, true) })
}

// liveReader reads from the API server.
type liveReader struct{ calls *manager }

// Get implements client.Reader.
func (l liveReader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if err := l.calls.travel(); err != nil {
		return err
	}
	return l.calls.get(l.calls.world.api.tables[kindOf(into)], key, into)
}

// List implements client.Reader.
func (l liveReader) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	if err := l.calls.travel(); err != nil {
		return err
	}
	listFrom(l.calls.world.api.tables[kindOf(list)], list, options)
	return nil
}

func (m *manager) get(from table, key client.ObjectKey, into client.Object) error {
	stored := from.get(key.Name)
	if stored == nil {
		return apierrors.NewNotFound(resource(kindOf(into)), key.Name)
	}
	show(into, stored)
	return nil
}

func listFrom(from table, list client.ObjectList, options []client.ListOption) {
	o := (&client.ListOptions{}).ApplyOptions(options)
	found := make([]client.Object, 0, len(from))
	for _, object := range from {
		if o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(object.GetLabels())) {
			found = append(found, object)
		}
		if o.Limit > 0 && int64(len(found)) == o.Limit {
			break
		}
	}
	fill(list, found, o.UnsafeDisableDeepCopy == nil || !*o.UnsafeDisableDeepCopy)
}

// write takes a write to the API server, through the faults that are in store for it.
func (m *manager) write(k kind, name string, do func() error) error {
	w := m.world
	if err := m.travel(); err != nil {
		return err
	}
	fault := w.strike(m)
	if fault != nil {
		w.say("%s: %s at the write of %s %s", m.name, fault.name, k, name)
	}
	switch fault {
	case conflict:
		edit(w.api, k, name, func(o client.Object) {
			o.SetAnnotations(withEntry(o.GetAnnotations(), "somebody/was-here", w.api.nextVersion()))
		})
	case refusal:
		return apierrors.NewInternalError(errors.New("etcdserver: request timed out"))
	case crashBefore:
		m.die()
		return errDied
	case twoLeaders:
		m.depose()
		w.pass(w.between(time.Second, 12*time.Second, "hangs", m.name, 0), w.over)
		if m.dead || w.broken != nil {
			return errDied
		}
	}
	w.writer = m
	err := do()
	w.writer = nil
	w.tally.Writes++
	if apierrors.IsConflict(err) {
		w.tally.Conflicts++
	}
	w.sayWrite(m, k, name, err)
	switch {
	case fault == lostResponse && err == nil:
		return apierrors.NewTimeoutError("the server was unable to return a response in the time allotted", 0)
	case fault == crashAfter:
		m.die()
		return errDied
	}
	return err
}

func withEntry(all map[string]string, key, value string) map[string]string {
	next := map[string]string{key: value}
	for k, v := range all {
		if k != key {
			next[k] = v
		}
	}
	return next
}
