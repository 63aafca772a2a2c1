package apicount

import (
	"net/http"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		reason, method, path string
		want                 Key
	}{
		{"a namespaced kind of a group", http.MethodPost, "/apis/cluster.x-k8s.io/v1beta2/namespaces/a/machines", Key{"machines.cluster.x-k8s.io", "create"}},
		{"a subresource", http.MethodPatch, "/apis/cluster.x-k8s.io/v1beta2/namespaces/a/machines/m/status", Key{"machines.cluster.x-k8s.io/status", "patch"}},
		{"a cluster-scoped kind of the core group", http.MethodPatch, "/api/v1/nodes/n", Key{"nodes", "patch"}},
		{"a namespace itself", http.MethodDelete, "/api/v1/namespaces/a", Key{"namespaces", "delete"}},
		{"a read", http.MethodGet, "/api/v1/nodes/n", Key{"nodes", "get"}},
		{"a list", http.MethodGet, "/api/v1/nodes", Key{"nodes", "get"}},
		{"a collection", http.MethodDelete, "/api/v1/namespaces/a/pods", Key{"pods", "delete"}},
	} {
		if got, ok := classify(test.method, test.path); !ok || got != test.want {
			t.Errorf("%s: got %v, %v, want %v", test.reason, got, ok, test.want)
		}
	}
	for _, test := range [][2]string{{http.MethodGet, "/readyz"}, {http.MethodPost, "/readyz"}} {
		if got, ok := classify(test[0], test[1]); ok {
			t.Errorf("%v counts as %v, want it not to count", test, got)
		}
	}
}

func TestPrintLeavesOutWhatIsNoState(t *testing.T) {
	counts := map[Key]int{{"nodes", "patch"}: 4, {"nodes", "get"}: 7, {"events.events.k8s.io", "create"}: 9, {"leases.coordination.k8s.io", "update"}: 9}
	var out strings.Builder
	if err := Print(&out, counts, 2); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "create") || !strings.Contains(got, "2.00            patch  nodes") || Writes(counts) != 4 || Requests(counts) != 11 {
		t.Errorf("got %d writes, %d requests and\n%s", Writes(counts), Requests(counts), got)
	}
}
