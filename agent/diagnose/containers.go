package diagnose

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criTimeout is how long containerd gets to answer everything: it may hang.
const criTimeout = 4 * time.Second

// maxAnswer is how large one answer of containerd's may be.
const maxAnswer = 16 << 20

// readContainers collects which pods, containers and images there are, by containerd's word and by what it has on disk.
func readContainers(ctx context.Context, o Options, f *found) {
	// Of the directories first: it is what there is when containerd does not answer.
	listing(f, "containers/state.txt", filepath.Join(o.Paths.ContainerdState, "io.containerd.runtime.v2.task"), 3)
	listing(f, "containers/root.txt", o.Paths.ContainerdRoot, 2)
	ctx, cancel := context.WithTimeout(ctx, criTimeout)
	defer cancel()
	socket := o.Paths.Socket()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		f.miss("containers", err)
		return
	}
	defer func() { _ = conn.Close() }()
	runtime, images := runtimeapi.NewRuntimeServiceClient(conn), runtimeapi.NewImageServiceClient(conn)
	for _, ask := range []struct {
		name string
		do   func() (any, error)
	}{
		{"containers/version.json", func() (any, error) { return runtime.Version(ctx, &runtimeapi.VersionRequest{}) }},
		{"containers/status.json", func() (any, error) { return runtime.Status(ctx, &runtimeapi.StatusRequest{}) }},
		{"containers/pods.json", func() (any, error) {
			answer, err := runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
			for _, pod := range answer.GetItems() {
				pod.Annotations = nil // of the pod's owner, who may have put anything there
			}
			return answer.GetItems(), err
		}},
		{"containers/containers.json", func() (any, error) {
			answer, err := runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
			for _, container := range answer.GetContainers() {
				container.Annotations = nil
			}
			return answer.GetContainers(), err
		}},
		{"containers/images.json", func() (any, error) {
			answer, err := images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
			return answer.GetImages(), err
		}},
	} {
		answer, err := ask.do()
		if err != nil {
			f.miss(ask.name, errors.New("containerd does not answer: "+status.Convert(err).Message()))
			continue
		}
		f.json(ask.name, answer)
	}
}
