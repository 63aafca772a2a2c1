package artifact

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// A blob of 100 MB over a slow link (2 Mbit/s) takes 400 s; whoever is slower resumes with a Range request.
const (
	writeTimeout    = 10 * time.Minute
	idleTimeout     = 2 * time.Minute
	headerTimeout   = 10 * time.Second
	shutdownTimeout = 5 * time.Second

	// maxConnections leaves the process file descriptors for its work, whoever connects: the endpoint asks nobody
	// who they are. A fleet that fetches for the first time waits its turn.
	maxConnections = 512
	maxHeaderBytes = 16 << 10

	// slogV2 is logr's V(2) in slog's terms.
	slogV2 = slog.Level(-2)
)

// Server serves Handler(Root) over TLS; it is a manager.Runnable of every replica, leader or not.
type Server struct {
	// Root is the directory of OCI layouts.
	Root string
	// BindAddress is where to listen, host:port.
	BindAddress string
	// CertFile and KeyFile are the server's certificate and key in PEM; they are read again when they change.
	CertFile, KeyFile string
	// Log receives start and stop.
	Log logr.Logger
}

// NeedLeaderElection says that every replica serves.
func (*Server) NeedLeaderElection() bool { return false }

// Start serves until the context ends, then lets running requests finish for a few seconds.
func (s *Server) Start(ctx context.Context) error {
	certificate, err := certwatcher.New(s.CertFile, s.KeyFile)
	if err != nil {
		return fmt.Errorf("read the artifact endpoint's certificate (--artifact-cert-file, --artifact-key-file): %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.BindAddress)
	if err != nil {
		return fmt.Errorf("serve artifacts (--artifact-bind-address): %w", err)
	}
	return s.serve(ctx, tls.NewListener(netutil.LimitListener(listener, maxConnections), &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"}, // sendfile needs HTTP/1.1, and blobs are most of the traffic
		GetCertificate: certificate.GetCertificate,
	}), certificate)
}

func (s *Server) serve(ctx context.Context, listener net.Listener, certificate *certwatcher.CertWatcher) error {
	server := &http.Server{
		Handler:           Handler(s.Root),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// Not an error of ours: each probe that only connects fails its TLS handshake.
		ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(s.Log), slogV2),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return certificate.Start(ctx) })
	group.Go(func() error {
		s.Log.Info("Serving artifacts", "address", listener.Addr().String(), "root", s.Root)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve artifacts: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return s.stop(context.WithoutCancel(ctx), server)
	})
	return group.Wait()
}

func (s *Server) stop(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		s.Log.Info("Closed artifact downloads that were still running", "after", shutdownTimeout.String())
		return server.Close()
	}
	return nil
}
