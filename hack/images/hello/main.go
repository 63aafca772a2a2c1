// Command hello answers every HTTP request with the pod and the node that answered and who asked, for demos and tests of Services.
// Called as `hello get URL`, it makes such a request and prints the answer.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == "get" {
		return get(ctx, os.Args[2], os.Stdout, getLimit, getInterval)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":8080")
	if err != nil {
		return err
	}
	return serve(ctx, listener, os.Getenv("NODE_NAME"), lameDuck)
}

// lameDuck is how long connections are still taken after SIGTERM: proxies learn only then that the pod goes.
const lameDuck = 3 * time.Second

// serve answers until some time after the context ended, then finishes what it began: a pod that is drained fails no request.
func serve(ctx context.Context, listener net.Listener, node string, lameDuck time.Duration) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: handler(host, node)}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		<-time.After(lameDuck)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func handler(host, node string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = fmt.Fprintf(w, "Hello from %s on node %s to %s\n", host, node, caller)
	})
}
