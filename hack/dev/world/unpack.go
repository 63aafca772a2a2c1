package world

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/agent/bundle"
	"github.com/drover-dev/drover/hack/dev/layout"
)

// unpackTimeout bounds the fetch from this host's own endpoint.
const unpackTimeout = 2 * time.Minute

// unpack unpacks the bundle that the endpoint serves into the folder that local machines share, unless it is there.
func (w *World) unpack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unpackTimeout)
	defer cancel()
	image, err := w.bundleImage()
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(w.Layout.PKI("ca.crt"))
	if err != nil {
		return fmt.Errorf("read the cluster's certificate authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	store := &bundle.Store{Root: w.Layout.Bundles(), Roots: func() *x509.CertPool { return roots }, Log: logr.Discard()}
	_, err = store.Ensure(ctx, image)
	return err
}

// bundleImage is the bundle that was built last.
func (w *World) bundleImage() (string, error) {
	digests, err := layout.ReadDigests(w.Layout)
	if err != nil {
		return "", err
	}
	return digests.Image("bundles/kubernetes")
}
