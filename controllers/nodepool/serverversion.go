package nodepool

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/planner"
)

// serverVersionFresh is how long the API server's version is remembered. That it could not be had is remembered until it is
// asked for again.
const serverVersionFresh = 30 * time.Second

// ServerVersion remembers for a while what version the API server has that nodes talk to. It is safe for concurrent use.
type ServerVersion struct {
	// Of asks it.
	Of discovery.ServerVersionInterface

	mu    sync.Mutex
	found *version.Version
	err   error
	until time.Time
}

func (s *ServerVersion) get(now time.Time) (*version.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.until) {
		return s.found, s.err
	}
	s.found, s.err = s.ask()
	s.until = now.Add(serverVersionFresh)
	if s.err != nil {
		s.until = now.Add(retryDiscovery)
	}
	return s.found, s.err
}

func (s *ServerVersion) ask() (*version.Version, error) {
	info, err := s.Of.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask the API server for its version: %w", err)
	}
	found, err := version.ParseGeneric(info.GitVersion)
	if err != nil {
		return nil, fmt.Errorf("read the API server's version: %w", err)
	}
	return found, nil
}

// checkVersion finds a template whose kubelets the API server does not support.
func (r *Reconciler) checkVersion(seen *observation) {
	if r.ServerVersion == nil {
		return
	}
	server, err := r.ServerVersion.get(seen.Now)
	if err != nil {
		seen.versionUnknown(err)
		return
	}
	wanted, err := version.ParseGeneric(seen.Pool.Spec.Template.Spec.Version)
	if err != nil {
		return // what is no version has no bundle either
	}
	if reason, message := skew(wanted, server); reason != "" {
		seen.problem(planner.Problem{Reason: reason, Message: message, RetryAfter: retryUnserved})
	}
}

// versionUnknown is a problem for a version that no node of the pool was told yet, where one is to be: the others were compared
// with the API server then.
func (o *observation) versionUnknown(err error) {
	wanted := o.Pool.Spec.Template.Spec.Version
	for _, agent := range o.Agents {
		if agent.Spec.Version == wanted {
			return
		}
	}
	if len(o.Agents) == 0 && !wantsMachines(o) {
		return
	}
	message := fmt.Sprintf("Whether Kubernetes %s is newer than the API server, which no kubelet may be, is not known: %v", wanted, err)
	if refused(err) {
		message += ". Let the manager's ServiceAccount get /version, as the ClusterRole system:public-info-viewer does"
	}
	o.problem(planner.Problem{Reason: v1alpha1.ReasonServerVersionUnknown, Message: message, Passing: !refused(err), RetryAfter: retryDiscovery})
}
