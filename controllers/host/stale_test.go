package host

import (
	"context"
	"errors"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// staleHosts is a cache that shows a Host as it once was, or fails.
type staleHosts struct {
	client.Client
	host *v1alpha1.Host
	err  error
}

func (c staleHosts) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if h, ok := o.(*v1alpha1.Host); ok {
		c.host.DeepCopyInto(h)
		return c.err
	}
	return c.Client.Get(ctx, key, o, opts...)
}

func TestAStaleHostIsNotActedUpon(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	before := s.host("a")
	s.look("a")
	logins := b.Connections()
	// A read that fails says nothing of the Host, and least of all that it is gone.
	broken := errors.New("the cache takes its time")
	s.hosts.Client = staleHosts{s.Client, before, broken}
	if _, err := s.hosts.Reconcile(t.Context(), s.request("a")); !errors.Is(err, broken) {
		t.Errorf("a read that fails ends with %v", err)
	}
	s.hosts.Client = staleHosts{s.Client, before, nil}
	result, err := s.hosts.Reconcile(t.Context(), s.request("a"))
	if err != nil || result.RequeueAfter == 0 || b.Connections() != logins {
		t.Errorf("a Host as it was before our own write is acted upon: %d logins more, %+v, %v", b.Connections()-logins, result, err)
	}
}
