package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const readyTimeout = 2 * time.Second

// addEndpoints registers what /healthz and /readyz look at, and the artifact endpoint. A replica that does not lead is
// ready too: it serves artifacts and stands by.
func addEndpoints(mgr manager.Manager, options Options) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("caches", cachesSynced(mgr)); err != nil {
		return fmt.Errorf("add the readiness check of caches: %w", err)
	}
	if options.ArtifactRoot == "" {
		return nil
	}
	if err := addArtifacts(mgr, options); err != nil {
		return fmt.Errorf("add the artifact endpoint: %w", err)
	}
	if err := mgr.AddReadyzCheck("artifacts", accepts(options.ArtifactBindAddress)); err != nil {
		return fmt.Errorf("add the readiness check of artifacts: %w", err)
	}
	return nil
}

func cachesSynced(mgr manager.Manager) healthz.Checker {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), readyTimeout)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches have not seen everything yet")
		}
		return nil
	}
}

// accepts checks that somebody listens at the address.
func accepts(address string) healthz.Checker {
	return func(request *http.Request) error {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
			host = "localhost"
		}
		connection, err := (&net.Dialer{Timeout: readyTimeout}).DialContext(request.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			return err
		}
		return connection.Close()
	}
}
