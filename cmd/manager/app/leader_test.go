package app

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// TestAnotherManagerTakesOver scales a pool under managers that end, one with the word that it does and one in the
// middle of its work without: each time another one leads and the pool gets exactly its machines.
func TestAnotherManagerTakesOver(t *testing.T) {
	server := apiserver.Shared(t)
	startGarbageCollector(t)
	startProvider(t, server)
	first := startCandidate(t, server)
	first.wantLeads(t)
	second := startCandidate(t, server)
	pool := createPool(t, server.Client, server.Namespace(t), 2)
	waitReady(t, server.Client, pool, 2)
	if second.leads() {
		t.Fatal("two managers lead")
	}

	scale(t, server.Client, pool, 4)
	first.stop()
	second.wantLeads(t)
	waitReady(t, server.Client, pool, 4)
	wantNoMore(t, server.Client, pool)

	third := startCandidate(t, server)
	second.dieAtWrite(3) // The reservation of the names, an infrastructure machine, its Machine or another one's.
	scale(t, server.Client, pool, 8)
	select {
	case <-second.dead:
	case <-time.After(patience):
		t.Fatal("the second manager wrote nothing")
	}
	if third.leads() {
		t.Error("the third manager leads before the second one's lease has ended")
	}
	second.stop()
	third.wantLeads(t)
	waitReady(t, server.Client, pool, 8)
	wantNoMore(t, server.Client, pool)

	if err := server.Client.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	waitGone(t, server.Client, pool)
}

// candidate is a manager that waits to be elected.
type candidate struct {
	manager.Manager
	*mortal
	stop func()
}

func startCandidate(t *testing.T, server *apiserver.Server) *candidate {
	t.Helper()
	c := &candidate{mortal: &mortal{dead: make(chan struct{})}}
	config := rest.CopyConfig(ownConfig(t, server))
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) { return c.roundTrip(next, request) })
	})
	options := testOptions()
	options.LeaderElect, options.leaseDuration = true, 3*time.Second
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if c.Manager, err = New(ctx, config, options); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Start(ctx); err != nil && !c.died() {
			t.Errorf("a manager ended with %v", err)
		}
	}()
	c.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(c.stop)
	return c
}

func (c *candidate) leads() bool {
	select {
	case <-c.Elected():
		return true
	default:
		return false
	}
}

func (c *candidate) wantLeads(t *testing.T) {
	t.Helper()
	select {
	case <-c.Elected():
	case <-time.After(patience):
		t.Fatal("nobody leads")
	}
}

// mortal is a process whose requests reach the API server until it dies at one of its writes.
type mortal struct {
	// left is how many writes it has yet to make, plus one; zero while it is to live.
	left atomic.Int64
	dead chan struct{}
}

var errDead = errors.New("the process is dead")

func (m *mortal) dieAtWrite(n int64) { m.left.Store(n + 1) }

func (m *mortal) died() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

func (m *mortal) roundTrip(next http.RoundTripper, request *http.Request) (*http.Response, error) {
	if growing(request) && m.left.Load() > 0 && m.left.Add(-1) == 0 {
		close(m.dead)
	}
	if m.died() {
		return nil, errDead
	}
	return next.RoundTrip(request)
}

// growing says whether a write is one by which a pool grows: another one, such as an event that was late, would have it die
// before the names are reserved.
func growing(request *http.Request) bool {
	path := request.URL.Path
	return request.Method != http.MethodGet && strings.Contains(path, "/nodepools/") ||
		request.Method == http.MethodPost && strings.Contains(path, "machines")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

func scale(t *testing.T, c client.Client, pool *v1alpha1.NodePool, replicas int32) {
	t.Helper()
	patch := client.MergeFrom(pool.DeepCopy())
	pool.Spec.Replicas = ptr.To(replicas)
	if err := c.Patch(t.Context(), pool, patch); err != nil {
		t.Fatal(err)
	}
}

// wantNoMore wants no Machine but those the pool asks for, and none made and removed on the way: each that was made
// took the next number.
func wantNoMore(t *testing.T, c client.Client, pool *v1alpha1.NodePool) {
	t.Helper()
	replicas := int(ptr.Deref(pool.Spec.Replicas, 0))
	if next := ptr.Deref(pool.Status.NextOrdinal, 0); int(next) != replicas {
		t.Errorf("the next machine's number is %d: %d were made for %d", next, next, replicas)
	}
	machines := &clusterv1.MachineList{}
	if err := c.List(t.Context(), machines, client.InNamespace(pool.Namespace)); err != nil || len(machines.Items) != replicas {
		t.Errorf("there are %d Machines (%v), want %d", len(machines.Items), err, replicas)
	}
}
