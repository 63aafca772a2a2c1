package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/controllers/infra"
)

// Servers is what the provider of HostMachines and the reconciler of Hosts share.
type Servers struct {
	// Client reads through the manager's cache and writes.
	Client client.Client
	// APIReader reads live: Secrets, and what a claim rests on.
	APIReader client.Reader
	// Recorder takes the events.
	Recorder events.EventRecorder
	// Published brings HostMachines back whose bootstrap Secret was written.
	Published *infra.Published
	// AgentBinaries are the programs drover-agent put onto servers, by Go's name of what each is built for.
	AgentBinaries map[string]string
	// WorkDir is the manager's own directory on servers. Default: /var/lib/drover-host.
	WorkDir string

	agents agentFiles
	picks  picks
	// limits bound connections; the zero value means the defaults.
	limits  remote.Limits
	steps   steps
	mu      sync.Mutex
	cluster string
}

func (s *Servers) dir() string {
	if s.WorkDir != "" {
		return s.WorkDir
	}
	return workDir
}

// clusterID tells this cluster from others, on a server's lock file.
func (s *Servers) clusterID(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster != "" {
		return s.cluster, nil
	}
	namespace := &corev1.Namespace{}
	if err := s.APIReader.Get(ctx, client.ObjectKey{Name: "kube-system"}, namespace); err != nil {
		return "", fmt.Errorf("find out the cluster's identity: %w", err)
	}
	s.cluster = string(namespace.UID)
	return s.cluster, nil
}

// explain turns what went wrong on a server into a reason and a sentence. What has neither is the manager's own trouble.
func explain(err error) *infra.Problem {
	var problem *infra.Problem
	if errors.As(err, &problem) {
		return problem
	}
	var failed *remote.Error
	if errors.As(err, &failed) {
		message := sentence(failed.Message)
		if a := advice(failed.Stderr); a != "" {
			message = a + " " + message
		}
		return &infra.Problem{Reason: failed.Reason, Message: v1alpha1.BoundMessage(message)}
	}
	return nil
}

// advice is what to do about what a server's programs said, which speak English there, or empty.
func advice(said string) string {
	for words, what := range map[string]string{
		"no space left on device": "There is no space left on the server's disk: make room below /var/lib.",
		"read-only file system":   "The server's file system is read-only: remount it (mount -o remount,rw), and if the kernel made it so, look after its disk.",
	} {
		if strings.Contains(strings.ToLower(said), words) {
			return what
		}
	}
	return ""
}

// problem is the error itself, or what a user can make of it.
func problem(err error) error {
	if explained := explain(err); explained != nil {
		return explained
	}
	return err
}

// isLost says of an error that the server went away, rather than what it is like.
func isLost(err error) bool {
	return slices.Contains([]string{remote.Unreachable, remote.Timeout}, remote.ReasonOf(err))
}

// patchHost writes metadata of a Host, if it is still as it was read.
func (s *Servers) patchHost(ctx context.Context, h *v1alpha1.Host, change func(*v1alpha1.Host) error) error {
	ctx, cancel := context.WithTimeout(ctx, infra.ReconcileTimeout)
	defer cancel()
	before := h.DeepCopy()
	if err := change(h); err != nil {
		return err
	}
	if err := s.Client.Patch(ctx, h, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("write Host %s: %w", h.Name, err)
	}
	return nil
}
