package reset

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// podsAtOnce is how many pods are removed at a time.
	podsAtOnce = 10
	// podsPatience bounds the removal of all pods, in times of that of one.
	podsPatience = 5
)

// removePods stops and removes every pod through containerd, which takes their network down as well. It gives up on a
// pod that takes longer than patience, and on containerd where that does not answer: killPods ends what is left.
func (r *resetter) removePods(ctx context.Context, patience time.Duration) error {
	return r.eachPod(ctx, patience, "Removed", removePod)
}

// eachPod does something to every pod, some at a time, and says so of those that it worked for.
func (r *resetter) eachPod(ctx context.Context, patience time.Duration, done string, do func(context.Context, runtimeapi.RuntimeServiceClient, string) error) error {
	socket := r.Paths.Socket()
	if _, err := os.Stat(socket); err != nil || !r.isOurs(r.Paths.ContainerdState) {
		return nil
	}
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, podsPatience*patience)
	defer cancel()
	runtime := runtimeapi.NewRuntimeServiceClient(conn)
	pods, err := listPods(ctx, runtime, patience)
	if err != nil {
		r.say("Left the pods to the kernel: containerd does not answer")
		return nil
	}
	errs := make([]error, len(pods))
	var group errgroup.Group
	group.SetLimit(podsAtOnce)
	for i, pod := range pods {
		group.Go(func() error {
			errs[i] = within(ctx, patience, func(ctx context.Context) error { return do(ctx, runtime, pod.GetId()) })
			return nil
		})
	}
	_ = group.Wait()
	for i, pod := range pods {
		name := fmt.Sprintf("pod %s/%s", pod.GetMetadata().GetNamespace(), pod.GetMetadata().GetName())
		if errs[i] != nil {
			r.say("Left %s to the kernel: %v", name, errs[i])
			continue
		}
		r.say("%s %s", done, name)
	}
	return nil
}

func listPods(ctx context.Context, runtime runtimeapi.RuntimeServiceClient, patience time.Duration) ([]*runtimeapi.PodSandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pods, err := runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	return pods.GetItems(), err
}

func within(ctx context.Context, patience time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return do(ctx)
}

func removePod(ctx context.Context, runtime runtimeapi.RuntimeServiceClient, id string) error {
	if _, err := runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return fmt.Errorf("stop it: %w", err)
	}
	if _, err := runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		return fmt.Errorf("remove it: %w", err)
	}
	return nil
}
