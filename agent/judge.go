package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/health"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/status"
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
	return a.verdict(ctx, a.evidence())
}

func (a *Agent) verdict(ctx context.Context, all []evidence) generation.Verdict {
	asked, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	running := a.supervise.Status()
	for _, e := range all {
		v := a.weigh(asked, e, running)
		if v.Healthy {
			continue
		}
		v.Urgent = e.lease
		if e.remote && !a.reachesServer(ctx) {
			v.Blind, v.Hopeless = true, false
		}
		return v
	}
	return generation.Verdict{Healthy: true, Started: lastStart(running)}
}

// lastStart is when the youngest of the processes was started.
func lastStart(running []v1alpha1.ComponentStatus) (last time.Time) {
	for _, c := range running {
		if c.StartedAt.After(last) {
			last = c.StartedAt.Time
		}
	}
	return last
}

// evidence is what is asked of a node on probation.
type evidence struct {
	component string
	process   bool // it is one of the supervisor's
	remote    bool // it needs the API server to come up
	lease     bool // nobody renews the Node's Lease without it
	ask       func(context.Context) error
}

// evidence is all that is asked; what needs the API server comes last.
func (a *Agent) evidence() []evidence {
	socket := a.paths.Socket()
	all := []evidence{{component: v1alpha1.ComponentContainerd, process: true, lease: true, ask: func(ctx context.Context) error { return health.CRIReady(ctx, socket) }}}
	if a.members.MayRun() {
		all = append(all, evidence{component: v1alpha1.ComponentKubelet, process: true, lease: true, ask: func(ctx context.Context) error { return health.KubeletAnswers(ctx, health.KubeletURL) }})
	}
	all = append(all, evidence{component: v1alpha1.ComponentNetwork, ask: verdictOf(a.networkHealthy)})
	if a.installer.Running().Spec.Proxy.Mode != v1alpha1.ProxyModeNone {
		all = append(all, evidence{
			component: v1alpha1.ComponentKubeProxy, process: true, remote: true, // it answers nothing before it has read its Node
			ask: verdictOf(a.proxyWorks),
		})
	}
	return all
}

// weigh is the verdict on one part of the node.
func (a *Agent) weigh(ctx context.Context, e evidence, running []v1alpha1.ComponentStatus) generation.Verdict {
	switch c := status.Component(running, e.component); {
	case e.process && c == nil:
		return generation.Verdict{Component: e.component, Reason: v1alpha1.ReasonStarting, Message: e.component + " was not started yet"}
	case e.process && c.State != v1alpha1.ComponentRunning:
		return a.notRunning(*c)
	}
	if err := e.ask(ctx); err != nil {
		return unwell(e.component, err)
	}
	return generation.Verdict{Healthy: true}
}

// reachesServer says whether the API server that the agent itself uses answers, whatever it says.
func (a *Agent) reachesServer(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	_, err := kubeapi.ServerDate(a.present().settings(), a.dialServer)(ctx)
	return err == nil
}

// verdictOf asks the same, but for the reasons to be unwell that say nothing about the state that runs: it waits for what the API
// server knows, or pods lost their links, which are no better off with another state.
func verdictOf(ask func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := ask(ctx)
		if failure := (*health.Failure)(nil); errors.As(err, &failure) && (failure.Reason == v1alpha1.ReasonStarting || failure.Reason == v1alpha1.ReasonPodCutOff) {
			return nil
		}
		return err
	}
}

// notRunning is the verdict on a process that is not up.
func (a *Agent) notRunning(c v1alpha1.ComponentStatus) generation.Verdict {
	v := generation.Verdict{Component: c.Name, Reason: v1alpha1.ReasonStarting, Message: fmt.Sprintf("%s is %s", c.Name, c.State)}
	if failures := a.running().failures(c.Name); failures > 0 {
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
