package kubeapi

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/drover-dev/drover/test/apiserver"
)

// behind is another way to an API server, with a path before its own, and how many requests took it.
func behind(t *testing.T, config *rest.Config) (*rest.Config, *atomic.Int64) {
	t.Helper()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport, proxy.FlushInterval = transport, -1
	requests := &atomic.Int64{}
	server := httptest.NewTLSServer(http.StripPrefix("/clusters/one", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		proxy.ServeHTTP(w, r)
	})))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &rest.Config{Host: server.URL + "/clusters/one", TLSClientConfig: rest.TLSClientConfig{CAData: ca}}, requests
}

func TestAClientThatFollowsAnotherAsksItsServer(t *testing.T) {
	direct := apiserver.Shared(t).Config
	there, requests := behind(t, direct)
	api, err := New(direct)
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(there)
	if err != nil {
		t.Fatal(err)
	}
	ctx := bounded(t)
	watch, err := cache.ToListerWatcherWithContext(api.Nodes()).WatchWithContext(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	api.Follow(other)
	select {
	case _, open := <-watch.ResultChan():
		for open {
			_, open = <-watch.ResultChan()
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a watch goes on at a server that may not be the cluster's any more")
	}
	if _, err := api.HasNode(ctx, "absent"); err != nil || requests.Load() != 1 {
		t.Errorf("%d requests came, %v", requests.Load(), err)
	}
	if _, err := api.ListNodeAgents(ctx, "absent"); err != nil || requests.Load() != 2 {
		t.Errorf("%d requests came, %v", requests.Load(), err)
	}
	back, err := New(direct)
	if err != nil {
		t.Fatal(err)
	}
	api.Follow(back)
	if _, err := api.HasNode(ctx, "absent"); err != nil || requests.Load() != 2 {
		t.Errorf("after going back %d requests came, %v", requests.Load(), err)
	}
}

func TestAnErrorNamesTheServerThatWasAsked(t *testing.T) {
	api, err := New(apiserver.Shared(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := New(&rest.Config{Host: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	api.Follow(nobody)
	if _, err := api.HasNode(bounded(t), "n"); err == nil || !strings.Contains(err.Error(), "now at https://127.0.0.1:1: ") {
		t.Errorf("got %v", err)
	}
}
