package agent

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestRoutesAreNotFollowedOnANode(t *testing.T) {
	bootstrap := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(bootstrap, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := FollowRoutes(t.Context(), RouteOptions{BootstrapPath: bootstrap})
	if err == nil || !strings.Contains(err.Error(), "this machine is a node") {
		t.Errorf("got %v: the agent and this would undo each other's routes", err)
	}
}

func TestTheAPIServersAddressIsKeptFromNodes(t *testing.T) {
	for host, want := range map[string]string{
		"https://10.88.0.1:6443":        "[10.88.0.1/32]",
		"https://[fd00::1]:6443":        "[fd00::1/128]",
		"https://api.example.test:6443": "[]", // nobody's range is refused because of a name
	} {
		if got := fmt.Sprint(addressOf(&rest.Config{Host: host})); got != want {
			t.Errorf("addressOf(%s) = %s, want %s", host, got, want)
		}
	}
}

// routesAre answers for routes.
type routesAre struct {
	trouble  error
	unrouted []string
}

func (r routesAre) Ready() error       { return r.trouble }
func (r routesAre) Unrouted() []string { return r.unrouted }

func TestReadyzNamesTheNodesThatHaveNoRoute(t *testing.T) {
	for reason, test := range map[string]struct {
		are  routesAre
		code int
		want string
	}{
		"all is well":                       {routesAre{}, http.StatusOK, "ok\n"},
		"a Node does not make it unready":   {routesAre{unrouted: []string{"far", "lies"}}, http.StatusOK, "ok\nno route: far\nno route: lies\n"},
		"routes that cannot be made at all": {routesAre{trouble: errors.New("no netlink")}, http.StatusServiceUnavailable, "no netlink\n"},
	} {
		answer := httptest.NewRecorder()
		readyz(test.are).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if answer.Code != test.code || answer.Body.String() != test.want {
			t.Errorf("%s: got %d %q, want %d %q", reason, answer.Code, answer.Body, test.code, test.want)
		}
	}
}
