package kubeapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// ServerDate returns a function that asks the API server for the time: every answer has a Date header, a refusal
// too, so no identity is needed. dial makes the connection, nil for the usual way.
func ServerDate(cluster v1alpha1.ClusterSettings, dial func(context.Context, string, string) (net.Conn, error)) func(context.Context) (time.Time, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cluster.ServerCA))
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext:       dial,
		DisableKeepAlives: true,
	}}
	return func(ctx context.Context) (_ time.Time, err error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodHead, cluster.Server+"/readyz", nil)
		if err != nil {
			return time.Time{}, fmt.Errorf("ask %s for the time: %w", cluster.Server, err)
		}
		response, err := client.Do(request)
		if err != nil {
			return time.Time{}, fmt.Errorf("ask %s for the time: %w", cluster.Server, err)
		}
		defer func() { err = errors.Join(err, response.Body.Close()) }()
		return http.ParseTime(response.Header.Get("Date"))
	}
}
