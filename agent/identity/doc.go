// Package identity gets the agent its own client certificate and keeps it valid.
//
// The order makes a kill at any moment harmless: the key is on disk before the first request; the request's name
// follows from the key, so a second try finds the first one's request; the certificate and its key are one file,
// renamed into place; only then does the token go. Whoever starts again picks up where the last one stopped
// (Ensure). The kubelet and kube-proxy reach the API server through a kubeconfig that names that file, so a renewal
// (Renew) needs no rewrite and no restart.
package identity
