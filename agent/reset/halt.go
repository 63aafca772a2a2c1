package reset

import (
	"context"
	"errors"
	"fmt"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// podGrace is how long a pod gets to end that the kubelet did not end in its own time at a shutdown.
const podGrace = 10 * time.Second

// Halt ends the node's pods and components in order, and removes nothing: the next boot goes on with them. The agent must
// have ended, or it would start them again. A reset is let go on: it has systemd stop the unit that runs this.
func Halt(ctx context.Context, o Options) error {
	r := &resetter{Options: o}
	lock, err := r.lock(ctx, service.LockForHalt)
	if errors.Is(err, service.ErrReset) {
		r.say("Left all to the reset that is at work")
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop the agent: %w", err)
	}
	defer func() { _ = lock.Close() }()
	var errs []error
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"stop the kubelet", func(ctx context.Context) error { return r.stopProcess(ctx, v1alpha1.ComponentKubelet) }},
		{"stop the pods", func(ctx context.Context) error { return r.eachPod(ctx, stopTimeout/3, "Stopped", haltPod) }},
		{"stop the components", r.stopComponents},
		{"end what is left of the pods", r.killPods},
	} {
		if err := step.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	return errors.Join(errs...)
}

// haltPod ends a pod's containers, each with podGrace, and then the pod.
func haltPod(ctx context.Context, runtime runtimeapi.RuntimeServiceClient, id string) error {
	containers, err := runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{
		PodSandboxId: id, State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING},
	}})
	if err != nil {
		return fmt.Errorf("list its containers: %w", err)
	}
	errs := make(chan error)
	for _, c := range containers.GetContainers() {
		go func() {
			_, err := runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: c.GetId(), Timeout: int64(podGrace / time.Second)})
			errs <- err
		}()
	}
	for range containers.GetContainers() {
		err = errors.Join(err, <-errs)
	}
	_, stopErr := runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
	return errors.Join(err, stopErr)
}
