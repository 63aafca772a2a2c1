package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/trust"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// serverTimeout is how long an API server's answer may take.
const serverTimeout = 10 * time.Second

// serverRetries are the waits between two questions to an API server that gives no answer.
var serverRetries = backoff.Doubling(time.Second, time.Minute)

// server is an API server and how it is known. The one that last answered the agent is on disk: the one that runs of the
// generations may name another that never does, and only the cluster can say what is right instead.
type server struct {
	URL string `json:"server"`
	CA  string `json:"serverCA"`
}

func serverOf(cluster v1alpha1.ClusterSettings) server {
	return server{URL: cluster.Server, CA: cluster.ServerCA}
}

func (s server) settings() v1alpha1.ClusterSettings {
	return v1alpha1.ClusterSettings{Server: s.URL, ServerCA: s.CA}
}

// configOf authenticates the agent at an API server, which it connects to through the balancer where there is one for it.
func (a *Agent) configOf(s server) *rest.Config {
	config := a.identityPaths().RESTConfig(s.settings())
	config.Dial = a.dialServer
	return config
}

func (o Options) answeredPath() string { return filepath.Join(o.StateDir, "api-server.json") }

func (a *Agent) answered() server { return a.opts.answered() }

// answered is the API server that last answered, the zero value when none is known.
func (o Options) answered() (s server) {
	data, err := os.ReadFile(o.answeredPath())
	if err != nil || json.Unmarshal(data, &s) != nil || s.URL == "" {
		return server{}
	}
	return s
}

// firstServer is the one that the agent begins with.
func (a *Agent) firstServer() server {
	if s := a.answered(); s != (server{}) {
		return s
	}
	return serverOf(a.bootstrap.Spec.Cluster)
}

// followServer has the agent, the kubelet and kube-proxy speak to the API server of the generation that runs, once that has
// answered, until the context ends. One that does not is asked again; meanwhile they go on with the one that did.
func (a *Agent) followServer(ctx context.Context, api *kubeapi.Client) {
	next, client := a.present(), api
	retry := time.NewTimer(0)
	defer retry.Stop()
	for waits := serverRetries; ; {
		select {
		case <-ctx.Done():
			return
		case <-a.switched:
		case <-retry.C:
		}
		wanted, present := serverOf(a.installer.Running().Spec.Cluster), a.present()
		if wanted == present && present == a.answered() {
			a.serverSilent(nil)
			continue
		}
		var err error
		if wanted != next || client == nil || (client == api) != (wanted == present) {
			next, waits = wanted, serverRetries
			client, err = a.clientOf(wanted, present, api)
		}
		if err == nil {
			err = a.ask(ctx, client)
		}
		if err == nil && wanted != present {
			err = a.askAsKubelet(ctx, wanted)
		}
		if err != nil {
			if ctx.Err() == nil && wanted != present {
				a.serverSilent(&silentServer{wanted: wanted, present: present, cause: trust.Explain(err, time.Now())})
			}
			retry.Reset(waits.Step())
			continue
		}
		if wanted != present {
			if err := a.moveTo(ctx, wanted); err != nil {
				a.log.Error(err, "Could not have the components speak to another API server", "server", wanted.URL)
				retry.Reset(waits.Step())
				continue
			}
			api.Follow(client)
			a.log.Info("Went over to another API server", "server", wanted.URL, "before", present.URL)
		}
		waits = serverRetries
		a.serverSilent(nil)
		a.keepServer(wanted)
	}
}

// clientOf is the client that speaks to a server: the present one's, or a new one.
func (a *Agent) clientOf(wanted, present server, api *kubeapi.Client) (*kubeapi.Client, error) {
	if wanted == present {
		return api, nil
	}
	return kubeapi.New(a.configOf(wanted))
}

// ask is nil when the API server answers, and knows this agent.
func (a *Agent) ask(ctx context.Context, api *kubeapi.Client) error {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	_, err := api.ListNodeAgents(ctx, a.bootstrap.NodeName)
	return err
}

func (a *Agent) keepServer(s server) {
	data, err := json.Marshal(s)
	if err == nil {
		_, err = atomicfile.WriteIfChanged(a.opts.answeredPath(), data, 0o644)
	}
	if err != nil {
		a.log.Error(err, "Could not take down which API server answers")
	}
}

// silentServer is why the agent does not speak to the API server that it is to.
type silentServer struct {
	wanted, present server
	cause           error
}

// Error says what the agent does instead.
func (s *silentServer) Error() string {
	if s.wanted.URL == s.present.URL {
		return fmt.Sprintf("the API server %s does not answer as the authority demands that this node is to check it by (spec.cluster.serverCA), so that the agent goes on with the one before: %s", s.wanted.URL, s.cause)
	}
	return fmt.Sprintf("the API server %s, which this node is to use (spec.cluster.server), does not answer the agent, which goes on with %s: %s", s.wanted.URL, s.present.URL, s.cause)
}

// serverSilent takes down that the API server gives no answer, or with nil that all is well. Of one server the first failure is
// shown: what follows may differ in a time only, and each would be a write.
func (a *Agent) serverSilent(failed *silentServer) {
	changed := false
	a.seen.do(func(s *sightings) {
		changed = (s.server == nil) != (failed == nil) || failed != nil && s.server.wanted != failed.wanted
		if changed {
			s.server = failed
		}
	})
	if changed && failed != nil {
		a.log.Error(failed.cause, "Kept the API server that answered", "server", failed.present.URL, "wanted", failed.wanted.URL)
	}
	if changed {
		wake(a.dirty)
	}
}

func (a *Agent) serverFindings() []v1alpha1.Finding {
	var failed *silentServer
	var unbalanced error
	a.seen.do(func(s *sightings) { failed, unbalanced = s.server, s.unbalanced })
	var found []v1alpha1.Finding
	if failed != nil {
		found = append(found, finding.Warning(finding.APIServer, "%s", failed))
	}
	if unbalanced != nil {
		found = append(found, finding.Warning(finding.APIServer,
			"the API server has several addresses, but the kubelet and kube-proxy use one of them alone, as nothing can serve them on %s: %s", a.opts.Balancer, unbalanced))
	}
	return found
}
