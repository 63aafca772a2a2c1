package health

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fakeRuntime answers with the conditions it has.
type fakeRuntime struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	conditions []*runtimeapi.RuntimeCondition
}

func (r *fakeRuntime) Status(context.Context, *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	return &runtimeapi.StatusResponse{Status: &runtimeapi.RuntimeStatus{Conditions: r.conditions}}, nil
}

func TestARuntimeIsReadyByItsOwnWordOnly(t *testing.T) {
	network := &runtimeapi.RuntimeCondition{Type: runtimeapi.NetworkReady}
	for name, c := range map[string]struct {
		reason     string
		conditions []*runtimeapi.RuntimeCondition
		want       string
	}{
		"ready":     {"the network is not its business", []*runtimeapi.RuntimeCondition{network, {Type: runtimeapi.RuntimeReady, Status: true}}, ""},
		"not ready": {"it says why", []*runtimeapi.RuntimeCondition{{Type: runtimeapi.RuntimeReady, Reason: "NoDisk", Message: "no room"}}, "NoDisk: no room"},
		"silent":    {"that nothing was said is no evidence of health", []*runtimeapi.RuntimeCondition{network}, "does not say"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer()
			runtimeapi.RegisterRuntimeServiceServer(server, &fakeRuntime{conditions: c.conditions})
			go func() { _ = server.Serve(listener) }()
			t.Cleanup(server.Stop)
			err = CRIReady(t.Context(), socket)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q: %s", err, c.want, c.reason)
			}
		})
	}
}
