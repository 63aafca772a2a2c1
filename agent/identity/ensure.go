package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/drover-dev/drover/agent/backoff"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/trust"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// deniedWait is the least wait after a request that was denied.
const deniedWait = 5 * time.Second

// Joiner gets a first identity.
type Joiner struct {
	Paths Paths
	// Bootstrap has the node's name, the cluster and the token.
	Bootstrap *node.Bootstrap
	// Through is what the kubeconfig names in the place of the API server, as WriteKubeconfig has it.
	Through string
	// BootstrapPath is the file the token is taken out of afterwards.
	BootstrapPath string
	// Connect makes a client that authenticates with the token. Default: a real one.
	Connect func(v1alpha1.ClusterSettings, string) (API, error)
	// Failed hears of every try that failed, with a condition reason, empty where there is no reason of its own.
	Failed func(reason string, err error)
	// Backoff is the longest wait between tries. Default: 30 s.
	Backoff time.Duration
	Log     logr.Logger
}

// Ensure returns the identity on disk, or joins: it tries until it has one or the context ends. An agent without
// identity and without token can never get one, which is an error at once.
func (j *Joiner) Ensure(ctx context.Context) (*Identity, error) {
	id, err := Load(j.Paths, j.Bootstrap.NodeName, time.Now())
	switch {
	case err == nil:
	case !errors.Is(err, ErrNone):
		return nil, err
	case j.Bootstrap.Token == "":
		return nil, fmt.Errorf("%w, and %s has no join token: replace the machine", err, j.BootstrapPath)
	default:
		if id, err = j.join(ctx); err != nil {
			return nil, err
		}
	}
	return id, j.finish()
}

// Again joins whatever there is on disk, which it replaces: it tries until it has an identity or the context ends.
func (j *Joiner) Again(ctx context.Context) (*Identity, error) {
	id, err := j.join(ctx)
	if err != nil {
		return nil, err
	}
	return id, j.finish()
}

// join tries until there is a certificate. Only a request that was denied makes the next try a new request.
func (j *Joiner) join(ctx context.Context) (*Identity, error) {
	key, err := loadOrMakeKey(j.Paths.Key())
	if err != nil {
		return nil, err
	}
	waits, denials := backoff.Doubling(200*time.Millisecond, j.longestWait()), 0
	for {
		cert, err := j.try(func(api API) ([]byte, error) {
			return obtain(ctx, api, key, agentOf(j.Bootstrap.NodeName), denials)
		})
		if err == nil {
			return save(j.Paths, j.Bootstrap.NodeName, cert, key)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		wait := waits.Step()
		if errors.As(err, new(*DeniedError)) {
			denials++
			wait = max(wait, deniedWait)
		}
		j.failed(err)
		if err := backoff.Wait(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (j *Joiner) try(do func(API) ([]byte, error)) ([]byte, error) {
	connect := j.Connect
	if connect == nil {
		connect = func(cluster v1alpha1.ClusterSettings, token string) (API, error) {
			return kubeapi.New(TokenConfig(cluster, token))
		}
	}
	api, err := connect(j.Bootstrap.Spec.Cluster, j.Bootstrap.Token)
	if err != nil {
		return nil, err
	}
	return do(api)
}

func (j *Joiner) longestWait() time.Duration {
	if j.Backoff > 0 {
		return j.Backoff
	}
	return 30 * time.Second
}

func (j *Joiner) failed(err error) {
	reason, err := v1alpha1.ReasonJoinFailed, trust.Explain(err, time.Now())
	switch {
	case errors.As(err, new(*DeniedError)):
		reason = v1alpha1.ReasonCertificateDenied
	case apierrors.IsUnauthorized(err):
		err = fmt.Errorf("the API server does not know the join token, which has expired or was used: delete the Machine to get another one: %w", err)
	}
	j.Log.Error(err, "Failed to join", "node", j.Bootstrap.NodeName)
	if j.Failed != nil {
		j.Failed(reason, err)
	}
}

// finish does what comes after the certificate is safe; each step may be done twice.
func (j *Joiner) finish() error {
	if err := j.Paths.WriteKubeconfig(j.Bootstrap.Spec.Cluster, j.Through); err != nil {
		return err
	}
	if err := os.Remove(j.Paths.Key()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the first request's key: %w", err)
	}
	if j.Bootstrap.Token == "" {
		return nil
	}
	used := *j.Bootstrap
	used.Token = ""
	data, err := json.Marshal(&used)
	if err != nil {
		return fmt.Errorf("encode the bootstrap document: %w", err)
	}
	if err := atomicfile.Write(j.BootstrapPath, data, 0o600); err != nil {
		return fmt.Errorf("take the join token out of %s: %w", j.BootstrapPath, err)
	}
	j.Bootstrap.Token = ""
	return nil
}
