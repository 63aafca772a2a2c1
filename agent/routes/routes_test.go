package routes

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

func TestRoutesAreNotFollowedOnANode(t *testing.T) {
	bootstrap := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(bootstrap, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Follow(t.Context(), Options{BootstrapPath: bootstrap})
	if err == nil || !strings.Contains(err.Error(), "this machine is a node") {
		t.Errorf("got %v: the agent and this would undo each other's routes", err)
	}
}

func TestTheAPIServersAddressesAreKeptFromNodes(t *testing.T) {
	for host, want := range map[string]string{
		"https://10.88.0.1:6443": "10.88.0.1/32",
		"10.88.0.1:6443":         "10.88.0.1/32",
		"https://[fd00::1]:6443": "fd00::1/128",
		"https://localhost:6443": "127.0.0.1/32",
	} {
		got := (&serverAddresses{host: host, log: logr.Discard()}).now(t.Context())
		if !slices.Contains(got, netip.MustParsePrefix(want)) {
			t.Errorf("the addresses of %s are %s, without %s", host, got, want)
		}
	}
}

func TestTheAPIServersAddressesStayWhenItsNameIsNotFoundAnyMore(t *testing.T) {
	servers := &serverAddresses{host: "https://localhost:6443", log: logr.Discard()}
	want := servers.now(t.Context())
	servers.host = "https://api.invalid:6443"
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if got := servers.now(over); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("they are %s, and were %s", got, want)
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
