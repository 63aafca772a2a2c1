package agent

import (
	"fmt"
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
