// Command cluster is a cluster for the tests of a module that cannot import this one: a real API server with its garbage collector,
// Drover's manager, and simulated machines. It says where the administrator's kubeconfig is once all of that is up, and goes on until
// its standard input ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-logr/logr/funcr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/drover-dev/drover/cmd/manager/app"
	"github.com/drover-dev/drover/controllers/discovery"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/simulated"
)

func main() {
	errorsAlone := funcr.Options{Verbosity: -1}
	ctrl.SetLogger(funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, prefix, args) }, errorsAlone))
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() (err error) {
	server, err := apiserver.Launch(apiserver.WithCRDs(simulated.CRDs()...))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := server.LaunchControllerManager("garbage-collector-controller"); err != nil {
		return err
	}
	kubeconfig, err := server.KubeconfigFile()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	drover, provider, err := managers(ctx, server)
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	for _, mgr := range []manager.Manager{drover, provider} {
		go func() { defer cancel(); ended <- mgr.Start(ctx) }()
	}
	if drover.GetCache().WaitForCacheSync(ctx) && provider.GetCache().WaitForCacheSync(ctx) {
		fmt.Println(kubeconfig)
	}
	go func() { defer cancel(); _, _ = io.Copy(io.Discard, os.Stdin) }()
	return errors.Join(<-ended, <-ended)
}

// managers are Drover's and the simulated machines'.
func managers(ctx context.Context, server *apiserver.Server) (drover, provider manager.Manager, err error) {
	options := app.DefaultOptions().ForTests()
	options.Discovery = discovery.Overrides{
		Server: "https://10.88.0.1:6443", DNSServers: []string{"10.96.0.10"}, PodCIDRs: []string{"10.244.0.0/16"},
	}
	if drover, err = app.New(ctx, server.Config, options); err != nil {
		return nil, nil, err
	}
	provider, err = simulated.NewManager(server.Config, server.Scheme)
	return drover, provider, err
}
