package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Admission and conversion webhooks and aggregated APIs are called by the API server as these are.
func TestTheAPIServerReachesServicesAndThePodsOfEveryNode(t *testing.T) {
	perNode := helloPerNode(t)
	if answer := world.kubectl(t, "get", "--raw", "/api/v1/namespaces/default/services/hello:80/proxy/"); !strings.HasPrefix(answer, "Hello") {
		t.Errorf("the Service answers %q", answer)
	}
	for node, pod := range perNode {
		answer := world.kubectl(t, "get", "--raw", "/api/v1/namespaces/default/pods/"+pod.Name+":8080/proxy/")
		if !strings.Contains(answer, pod.Name) {
			t.Errorf("the pod %s on %s answers %q", pod.Name, node, answer)
		}
	}
}

func TestTheHostHasRoutesToThePodsOfTheNodesThatThereAre(t *testing.T) {
	pool := world.newPool(t, "e2e-routed", 1)
	world.awaitPool(t, pool.Name, 1)
	node := must[[]corev1.Node](t)(world.nodes(t.Context(), pool.Name))[0]
	want := fmt.Sprintf("%s via %s", node.Spec.PodCIDR, address(&node, corev1.NodeInternalIP))
	eventually(t, podsDeadline, "the host has the route "+want, func(context.Context) error { return routed(want, true) })
	world.deletePool(t, pool)
	eventually(t, podsDeadline, "the host has no route "+want, func(context.Context) error { return routed(want, false) })
}

func routed(want string, is bool) error {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	var all []string
	found := false
	for _, r := range routes {
		line := fmt.Sprintf("%s via %s", r.Dst, r.Gw)
		found = found || line == want
		all = append(all, line)
	}
	return unless(found == is, "the host's routes are %q", all)
}

// Webhooks and aggregated APIs are named by Services, which the host has no kube-proxy for. hello speaks no TLS: that it
// says so is its answer.
func TestTheAPIServerReachesAggregatedAPIsByTheirPods(t *testing.T) {
	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": "v1.e2e.example.test"},
		"spec": map[string]any{
			"group": "e2e.example.test", "version": "v1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100), "insecureSkipTLSVerify": true,
			"service": map[string]any{"namespace": "default", "name": "hello", "port": int64(80)},
		},
	}}
	if err := world.Create(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Delete(context.WithoutCancel(t.Context()), service); err != nil {
			t.Errorf("delete APIService %s: %v", service.GetName(), err)
		}
	})
	eventually(t, podsDeadline, "a pod answers the API server", func(ctx context.Context) error {
		if err := world.Get(ctx, client.ObjectKeyFromObject(service), service); err != nil {
			return err
		}
		status := fmt.Sprint(service.Object["status"])
		return unless(strings.Contains(status, "https://10.244.") && strings.Contains(status, "server gave HTTP response to HTTPS client"), "its status is %s", status)
	})
}

// An aggregated API takes the word of the holder of such a certificate for who calls; without it, everybody is anonymous there.
func TestAggregatedAPIsCanKnowWhoCalls(t *testing.T) {
	const wanted = `{.data.requestheader-allowed-names} {.data.requestheader-client-ca-file}`
	told := world.kubectl(t, "get", "configmap", "--namespace=kube-system", "extension-apiserver-authentication", "--output=jsonpath="+wanted)
	if !strings.HasPrefix(told, `["front-proxy-client"] -----BEGIN CERTIFICATE-----`) {
		t.Errorf("the API server says of itself %q", told)
	}
}

// A demo that is started again beside a running control plane mends it.
func TestWhatKeepsTheHostsRoutesIsStartedAgain(t *testing.T) {
	before := world.routesPID(t)
	kill(t, before)
	if err := dev(world.Root, 5*time.Minute, "up"); err != nil {
		t.Fatal(err)
	}
	if after := world.routesPID(t); after == before {
		t.Errorf("process %d runs on", before)
	}
	eventually(t, podsDeadline, "it is ready", func(ctx context.Context) error { return get(ctx, "http://127.0.0.1:8082/readyz") })
}
