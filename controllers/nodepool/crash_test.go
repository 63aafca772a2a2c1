package nodepool_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// dying is a client whose process dies at a write: the write is not made, or made and its answer is not seen, and
// nothing works from then on.
type dying struct {
	client.Client
	left  int
	after bool
	dead  bool
}

// crashReplicas is the size of the pool that processes die over.
const crashReplicas = 2

var errDead = errors.New("the process died")

// watcher is a client that a test can put itself in the way of.
func (s *site) watcher() client.WithWatch {
	s.t.Helper()
	if s.watching == nil {
		var err error
		if s.watching, err = client.NewWithWatch(s.Config, client.Options{Scheme: s.Scheme}); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.watching
}

func newDying(s *site, writes int, after bool) *dying {
	s.t.Helper()
	d := &dying{left: writes, after: after}
	d.Client = interceptor.NewClient(s.watcher(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return d.write(func() error { return c.Create(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return d.write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return d.write(func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return d.write(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	return d
}

func (d *dying) write(do func() error) error {
	if d.dead {
		return errDead
	}
	if d.left--; d.left >= 0 {
		return do()
	}
	d.dead = true
	if d.after {
		_ = do() // its answer is lost with the process
	}
	return errDead
}

// reconcileUntil lets one process work until check is content or it died.
func (s *site) reconcileUntil(d *dying, pool *v1alpha1.NodePool, check func() error) {
	s.t.Helper()
	r := s.reconciler(d.Client)
	var err error
	for range 50 {
		if _, err = r.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(pool)}); d.dead {
			return
		}
		if err == nil {
			if err = check(); err == nil {
				return
			}
		}
	}
	s.t.Fatalf("the pool did not settle: %v", err)
}

// TestCrashAtEveryWrite makes a pool and deletes it again, with the process dying at its first write, its
// second and so on, before or just after the write; each time another process has to finish. One that died leaves its
// machines to a user, who deletes one before the next starts.
func TestCrashAtEveryWrite(t *testing.T) {
	s := newSite(t)
	writes := 0
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			d := newDying(s, n, after)
			pool := s.pool(fmt.Sprintf("crash-%d-%t", n, after), crashReplicas)
			s.create(pool)
			s.crashWhileScalingUp(d, pool)
			s.crashWhileDeleting(d, pool)
			if !d.dead {
				writes += n
				break
			}
		}
	}
	if writes < 15 {
		t.Errorf("only %d crashes were tried: the reconciler made no writes", writes)
	}
}

func (s *site) crashWhileScalingUp(d *dying, pool *v1alpha1.NodePool) {
	s.t.Helper()
	settled := func() error {
		if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		s.clusterAPI()
		if pool.Status.Reserved != nil {
			return errors.New("a reservation is open")
		}
		if infra := len(s.localMachines()); infra != crashReplicas {
			return fmt.Errorf("there are %d infrastructure machines", infra)
		}
		return s.counts(crashReplicas, 0)
	}
	s.reconcileUntil(d, pool, settled)
	used := map[string]types.UID{}
	for _, m := range s.machines() {
		used[m.Name] = m.UID
	}
	if d.dead && len(used) > 0 {
		victim := s.machines()[0]
		if err := s.Client.Delete(s.t.Context(), &victim); err != nil {
			s.t.Fatal(err)
		}
		s.clusterAPI()
	}
	s.reconcileUntil(newDying(s, 1000, false), pool, settled)
	for _, m := range s.machines() {
		if uid, before := used[m.Name]; before && uid != m.UID {
			s.t.Errorf("after %d writes: the name %s was used twice", d.left, m.Name)
		}
	}
}

func (s *site) crashWhileDeleting(d *dying, pool *v1alpha1.NodePool) {
	s.t.Helper()
	if err := s.Client.Delete(s.t.Context(), pool); err != nil {
		s.t.Fatal(err)
	}
	gone := func() error {
		s.clusterAPI()
		if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(pool), pool); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the pool is there"), err)
		}
		if n := len(s.localMachines()); n > 0 {
			return fmt.Errorf("%d infrastructure machines are left", n)
		}
		return s.counts(0, 0)
	}
	if !d.dead {
		s.reconcileUntil(d, pool, gone)
	}
	s.reconcileUntil(newDying(s, 1000, false), pool, gone)
}

// TestPoolDeletedInTheMiddleOfAReservation gives up what was reserved.
func TestPoolDeletedInTheMiddleOfAReservation(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 3)
	s.create(pool)
	// Finalizer, revision, record, reservation, the first machine's two and the second's infrastructure machine.
	s.reconcileUntil(newDying(s, 7, false), pool, func() error { return errors.New("it dies first") })
	if machines, infra := len(s.machines()), len(s.localMachines()); machines != 1 || infra != 2 {
		t.Fatalf("the crash left %d Machines and %d infrastructure machines", machines, infra)
	}
	s.crashWhileDeleting(newDying(s, 1000, false), pool)
}

// TestScaledDownInTheMiddleOfAReservation makes no more than is wanted by then.
func TestScaledDownInTheMiddleOfAReservation(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 3)
	s.create(pool)
	s.reconcileUntil(newDying(s, 7, false), pool, func() error { return errors.New("it dies first") })
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](1) })
	s.reconcileUntil(newDying(s, 1000, false), pool, func() error {
		if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if pool.Status.Reserved != nil || *pool.Status.NextOrdinal != 3 || len(s.localMachines()) != 1 {
			return fmt.Errorf("reserved %v, next %d, %d infrastructure machines", pool.Status.Reserved, *pool.Status.NextOrdinal, len(s.localMachines()))
		}
		return s.counts(1, 0)
	})
}
