package agent

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/node"
)

// rejoinTimeout is how long one try to join again may take.
const rejoinTimeout = 2 * time.Minute

// rejoinLooks are the waits between two looks for a bootstrap document with a join token.
var rejoinLooks = backoff.Doubling(time.Second, 30*time.Second)

// rejoin has the agent join again, with the bootstrap document that somebody has put there for that, when its certificate has ended
// or is refused, until the context ends. Everything else goes on meanwhile.
func (a *Agent) rejoin(ctx context.Context, api *kubeapi.Client) {
	for waits := rejoinLooks; backoff.Wait(ctx, waits.Step()) == nil; {
		document, err := loadBootstrap(a.opts.BootstrapPath)
		if err != nil || document.Token == "" || document.NodeName != a.bootstrap.NodeName || a.isKnown(ctx, api, document) {
			continue
		}
		if err := a.joinAgain(ctx, api, document); err != nil && ctx.Err() == nil {
			a.log.Error(err, "Could not join again", "node", a.bootstrap.NodeName)
		}
	}
}

// isKnown says whether the agent needs no other certificate. Where it gets no answer and the document names the same API server, a
// certificate would not help.
func (a *Agent) isKnown(ctx context.Context, api *kubeapi.Client, document *node.Bootstrap) bool {
	err := a.ask(ctx, api)
	return err == nil || !apierrors.IsUnauthorized(err) && serverOf(document.Spec.Cluster) == a.present()
}

func (a *Agent) joinAgain(ctx context.Context, api *kubeapi.Client, document *node.Bootstrap) error {
	ctx, cancel := context.WithTimeout(ctx, rejoinTimeout)
	defer cancel()
	next := serverOf(document.Spec.Cluster)
	if _, err := a.joiner(document, func(_ string, err error) { a.renewalFailed(err) }).Again(ctx); err != nil {
		return err
	}
	client, err := kubeapi.New(a.configOf(next))
	if err != nil {
		return err
	}
	if err := a.moveTo(ctx, next); err != nil {
		return err
	}
	api.Follow(client) // with the certificate as it is now
	a.keepServer(next)
	a.log.Info("Joined again", "node", a.bootstrap.NodeName, "server", next.URL)
	wake(a.switched)
	return nil
}
