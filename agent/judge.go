package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// judgeTimeout bounds one look at a node on probation.
	judgeTimeout = 3 * time.Second
	// crashLoop is how many ends in a row say that a component does not come up.
	crashLoop = 4
)

// judgeNode says how the node is, by what the machine itself knows: its processes, their answers and the kernel's. What only the
// API server could tell, such as whether there is a Node, is no part of it: while that cannot be reached, nothing is wrong here.
func (a *Agent) judgeNode(ctx context.Context) generation.Verdict {
	ctx, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	running := a.supervise.Status()
	for _, check := range a.evidence() {
		i := slices.IndexFunc(running, func(c v1alpha1.ComponentStatus) bool { return c.Name == check.component })
		if check.process && i < 0 {
			return generation.Verdict{Component: check.component, Reason: v1alpha1.ReasonStarting, Message: check.component + " was not started yet"}
		}
		if check.process && running[i].State != v1alpha1.ComponentRunning {
			return a.notRunning(running[i])
		}
		if err := check.ask(ctx); err != nil {
			return unwell(check.component, err)
		}
	}
	return generation.Verdict{Healthy: true}
}

// evidence is what is asked of a node on probation.
type evidence struct {
	component string
	process   bool // it is one of the supervisor's
	ask       func(context.Context) error
}

func (a *Agent) evidence() []evidence {
	socket := a.paths.Socket()
	all := []evidence{{v1alpha1.ComponentContainerd, true, func(ctx context.Context) error { return health.CRIReady(ctx, socket) }}}
	if a.members.MayRun() {
		all = append(all, evidence{v1alpha1.ComponentKubelet, true, func(ctx context.Context) error { return health.KubeletAnswers(ctx, health.KubeletURL) }})
	}
	if a.installer.Running().Spec.Proxy.Mode != v1alpha1.ProxyModeNone {
		all = append(all, evidence{v1alpha1.ComponentKubeProxy, true, func(ctx context.Context) error { return health.ProxyAnswers(ctx, health.ProxyURL) }})
	}
	return append(all, evidence{v1alpha1.ComponentNetwork, false, a.networkBroken})
}

// networkBroken fails for what is wrong with the pod network, and not while it waits for what the API server knows.
func (a *Agent) networkBroken(context.Context) error {
	c := a.network.Health()
	if c.Status == metav1.ConditionTrue || c.Reason == v1alpha1.ReasonStarting {
		return nil
	}
	return &health.Failure{Reason: c.Reason, Message: c.Message}
}

// notRunning is the verdict on a process that is not up.
func (a *Agent) notRunning(c v1alpha1.ComponentStatus) generation.Verdict {
	v := generation.Verdict{Component: c.Name, Reason: v1alpha1.ReasonStarting, Message: fmt.Sprintf("%s is %s", c.Name, c.State)}
	if failures := a.supervise.Failures(c.Name); failures > 0 {
		v.Reason, v.Exit, v.Hopeless = v1alpha1.ReasonExited, c.LastExit, failures >= crashLoop
		v.Message = fmt.Sprintf("%s ended %d times in a row", c.Name, failures)
	} else if why := a.supervise.NotReady(c.Name); why != "" {
		v.Reason, v.Message = v1alpha1.ReasonProbeFailed, c.Name+" is not ready: "+why
	}
	return v
}

func unwell(component string, err error) generation.Verdict {
	v := generation.Verdict{Component: component, Reason: v1alpha1.ReasonProbeFailed, Message: err.Error()}
	if failure := (*health.Failure)(nil); errors.As(err, &failure) {
		v.Reason = failure.Reason
	}
	return v
}
