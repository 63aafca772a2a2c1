package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/host"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/repair"
	"github.com/drover-dev/drover/agent/service"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// rebootWithin is how long a machine may take to end for a reboot. One that runs on then was not rebooted.
const rebootWithin = 5 * time.Minute

func (a *Agent) newRepairKeeper() *repair.Keeper {
	return &repair.Keeper{
		Path: filepath.Join(a.opts.StateDir, "repair.json"), Boot: host.BootID(), Booted: host.BootedAt, Now: time.Now, Ahead: a.serverAhead, Log: a.log.WithName("repair"),
		Changed: func() { wake(a.dirty) }, Rest: a.installer.Rest, Resume: a.installer.Resume,
		Rungs: map[v1alpha1.RepairRung]func(context.Context) (string, error){
			v1alpha1.RepairRestartComponent: a.restartUnhealthy,
			v1alpha1.RepairReboot:           func(ctx context.Context) (string, error) { return "", reboot(ctx, service.Reboot, rebootWithin) },
		},
	}
}

// serverAhead is how far the API server's clock is ahead of the machine's, in whole seconds; zero where it does not answer.
func (a *Agent) serverAhead(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	date, err := kubeapi.ServerDate(a.present().settings(), a.dialServer)(ctx)
	if err != nil {
		return 0
	}
	return time.Until(date).Truncate(time.Second)
}

// reboot returns when the machine is not rebooted, or the agent ends for it.
func reboot(ctx context.Context, begin func(context.Context) error, within time.Duration) error {
	if err := begin(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("the machine still runs %s after it was to reboot", within)
	}
}

// restartUnhealthy has the components started anew that are not healthy, without regard to how often that was done before.
func (a *Agent) restartUnhealthy(context.Context) (string, error) {
	var known []string
	for _, c := range a.supervise.Status() {
		known = append(known, c.Name)
	}
	names := unhealthyComponents(a.monitor.Conditions(), known)
	if len(names) == 0 {
		return "", fmt.Errorf("none of its components was ever started")
	}
	for _, name := range names {
		a.supervise.Restart(name, "the manager asks for it, as the node is unhealthy")
		a.supervise.Hurry(name)
	}
	return "Restarted " + strings.Join(names, ", "), nil
}

// unhealthyComponents are those to restart, of those that are known. The kubelet goes with containerd: it may hold what a containerd that
// was ill told it. Where nothing is wrong by what the agent looks at, what is wrong is between these two: the kubelet says of
// the Node that it is not ready, or says nothing.
func unhealthyComponents(conditions []metav1.Condition, known []string) []string {
	var names []string
	for _, c := range []struct{ condition, component string }{
		{v1alpha1.RuntimeHealthyCondition, v1alpha1.ComponentContainerd},
		{v1alpha1.KubeletHealthyCondition, v1alpha1.ComponentKubelet},
		{v1alpha1.ProxyHealthyCondition, v1alpha1.ComponentKubeProxy},
	} {
		if is := meta.FindStatusCondition(conditions, c.condition); is != nil && is.Status != metav1.ConditionTrue {
			names = append(names, c.component)
		}
	}
	switch {
	case len(names) == 0:
		names = []string{v1alpha1.ComponentContainerd, v1alpha1.ComponentKubelet}
	case slices.Contains(names, v1alpha1.ComponentContainerd) && !slices.Contains(names, v1alpha1.ComponentKubelet):
		names = slices.Insert(names, 1, v1alpha1.ComponentKubelet)
	}
	return slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(known, name) })
}
