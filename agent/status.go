package agent

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/agent/status"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// restartGrace is how long an agent that was started again looks at the components it adopts before it says anything
	// about them: they are as healthy as its predecessor left them, and its own restart must not make the node look ill.
	restartGrace = 3 * time.Second
	// certificateEvery is the time between two looks at the agent's own certificate.
	certificateEvery = time.Minute
)

// keepStatus has the status written whenever anything that it shows has changed, until the context ends.
func (a *Agent) keepStatus(ctx context.Context) error {
	monitor := a.monitor
	asked := a.questions()
	monitor.SetProbes(a.probes()...)
	processes, conditions := a.supervise.Changed(), monitor.Changed()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := monitor.Run(ctx); err != nil {
			a.log.Error(err, "Stopped probing")
		}
	}()
	defer func() { <-done }()
	grace := time.NewTimer(restartGrace)
	defer grace.Stop()
	quiet := a.restarted
	look := time.NewTicker(certificateEvery)
	defer look.Stop()
	for {
		if now := a.questions(); now != asked {
			asked = now
			monitor.SetProbes(a.probes()...)
		}
		probed := monitor.Conditions()
		a.noteSteps(probed)
		quiet = quiet && !status.Settled(probed) && !a.hindered()
		if !quiet {
			a.publish(probed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grace.C:
			quiet = false
		case <-processes:
		case <-conditions:
		case <-a.dirty:
		case <-look.C:
		}
	}
}

// questions are what the probes differ by from those of another time.
type questions struct {
	proxy   v1alpha1.ProxyMode
	network v1alpha1.NetworkMode
	rules   v1alpha1.DriftPolicy
	server  server
}

func (a *Agent) questions() questions {
	g := a.installer.Running()
	return questions{g.Spec.Proxy.Mode, g.Spec.Network.Mode, g.Spec.Drift.Rules, a.present()}
}

func (a *Agent) hindered() bool {
	return a.installer.Obstacle() != nil
}

// publish has the status made of what is known now.
func (a *Agent) publish(probed []metav1.Condition) {
	o := a.observe(probed, time.Now())
	a.reporter.Update(func(s *v1alpha1.NodeAgentStatus) { *s = status.Report(*s, o) })
}
