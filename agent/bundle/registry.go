package bundle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/drover-dev/drover/agent/trust"
)

const (
	dialTimeout   = 5 * time.Second
	headerTimeout = 15 * time.Second
)

// registry is one repository, pulled from anonymously and over TLS only.
type registry struct {
	client *http.Client
	base   string // https://host/v2/repository
}

func connect(ctx context.Context, reference name.Digest, roots *x509.CertPool) (*registry, error) {
	plain := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: headerTimeout,
		DisableCompression:    true, // a digest is of the bytes as they are stored
		MaxIdleConnsPerHost:   parallelLayers,
		IdleConnTimeout:       dialTimeout,
	}
	repository := reference.Context()
	authorized, err := transport.NewWithContext(ctx, repository.Registry, authn.Anonymous, tlsOnly{plain}, []string{repository.Scope(transport.PullScope)})
	if err != nil {
		plain.CloseIdleConnections()
		return nil, unreachable(ctx, repository.RegistryStr(), err)
	}
	return &registry{
		client: &http.Client{Transport: authorized},
		base:   "https://" + repository.RegistryStr() + "/v2/" + repository.RepositoryStr(),
	}, nil
}

func (r *registry) close() { r.client.CloseIdleConnections() }

// manifest reads the manifest of a digest.
func (r *registry) manifest(ctx context.Context, digest v1.Hash) ([]byte, error) {
	accept := strings.Join([]string{string(types.OCIManifestSchema1), string(types.DockerManifestSchema2), string(types.OCIImageIndex), string(types.DockerManifestList)}, ", ")
	return r.document(ctx, "/manifests/"+digest.String(), http.Header{"Accept": {accept}})
}

// config reads a small blob into memory.
func (r *registry) config(ctx context.Context, digest v1.Hash) ([]byte, error) {
	return r.document(ctx, "/blobs/"+digest.String(), http.Header{})
}

func (r *registry) document(ctx context.Context, path string, header http.Header) ([]byte, error) {
	response, err := r.get(ctx, path, header)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, unreachable(ctx, r.base+path, err)
	}
	if len(content) > maxDocument {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrInvalid, path, maxDocument)
	}
	return content, nil
}

// blob opens a blob from an offset on. A registry that ignores ranges is read past the offset.
func (r *registry) blob(ctx context.Context, blob v1.Descriptor, offset int64) (io.ReadCloser, error) {
	header := http.Header{}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, blob.Size-1)) // some registries insist on the end
	}
	response, err := r.get(ctx, "/blobs/"+blob.Digest.String(), header)
	if err != nil {
		return nil, err
	}
	if offset > 0 && response.StatusCode != http.StatusPartialContent {
		if _, err := io.CopyN(io.Discard, response.Body, offset); err != nil {
			return nil, errors.Join(unreachable(ctx, blob.Digest.String(), err), response.Body.Close())
		}
	}
	return response.Body, nil
}

func (r *registry) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	request.Header = header
	response, err := r.client.Do(request)
	if err != nil {
		return nil, unreachable(ctx, r.base+path, err)
	}
	if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusPartialContent {
		return response, nil
	}
	_ = response.Body.Close()
	return nil, refused(r.base+path, response)
}

// refused turns a status into an error that says what to do about it.
func refused(url string, response *http.Response) error {
	switch response.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w: GET %s: the registry does not have it: check the image in the NodeBundle, or in spec.agent, and that it was pushed", ErrNotFound, url)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: GET %s: %s: let nodes pull from it anonymously", ErrUnreachable, url, response.Status)
	default:
		return fmt.Errorf("%w: GET %s: %s", errTransient, url, response.Status)
	}
}

// unreachable tells a caller that gave up and a certificate that will never be trusted from what may pass.
func unreachable(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	if advice := trust.Advice(err, time.Now()); advice != "" {
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, advice, err)
	}
	var status *transport.Error
	if errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden) {
		return fmt.Errorf("%w: let nodes pull from it anonymously: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: check the address, firewalls and that the artifact endpoint runs: %w", errTransient, err)
}

// tlsOnly refuses to fall back to plain HTTP, which go-containerregistry does for private addresses.
type tlsOnly struct{ inner *http.Transport }

func (t tlsOnly) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "https" {
		return nil, errors.New("plain HTTP is not used")
	}
	return t.inner.RoundTrip(request)
}
