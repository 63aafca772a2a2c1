package apiserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/clusterapi/crds"
)

const (
	assetsVariable = "KUBEBUILDER_ASSETS"
	serviceCIDR    = "10.96.0.0/16"

	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
)

// Server is a running control plane.
type Server struct {
	// Config is the administrator's, a system:masters. It has generous client-side limits.
	Config *rest.Config
	// Client is an uncached client with Config.
	Client client.Client
	// Scheme knows Kubernetes', Cluster API's (v1beta2) and Drover's kinds, and CustomResourceDefinitions.
	Scheme *runtime.Scheme
	// ClientCA signs the client certificates that the API server accepts.
	ClientCA *CA
	// Dir holds the control plane's files and goes with it.
	Dir string

	environment *envtest.Environment
	assets      string
	managers    []*process
}

// Option changes a Server before it starts.
type Option func(*envtest.Environment)

// WithCRDs installs more definitions, such as those of a test's own infrastructure kinds.
func WithCRDs(definitions ...*apiextensionsv1.CustomResourceDefinition) Option {
	return func(e *envtest.Environment) { e.CRDs = append(e.CRDs, definitions...) }
}

// WithoutCRDs leaves out Drover's and Cluster API's definitions.
func WithoutCRDs() Option {
	return func(e *envtest.Environment) { e.CRDs, e.CRDDirectoryPaths = nil, nil }
}

// WithFlag sets a flag of kube-apiserver, named without its dashes.
func WithFlag(name string, values ...string) Option {
	return func(e *envtest.Environment) { e.ControlPlane.GetAPIServer().Configure().Set(name, values...) }
}

// Start starts a control plane that ends with the test.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	server, err := Launch(options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Errorf("stop the test's control plane: %v", err)
		}
	})
	return server
}

// Launch starts a control plane for a program that is no test, and that calls Stop.
func Launch(options ...Option) (*Server, error) {
	assets, err := findAssets("etcd", "kube-apiserver")
	if err != nil {
		return nil, err
	}
	dir, err := newDirectory()
	if err != nil {
		return nil, err
	}
	server := &Server{Scheme: newScheme(), Dir: dir, assets: assets}
	if err := server.start(options); err != nil {
		return nil, errors.Join(fmt.Errorf("start the test's control plane: %w", err), server.Stop())
	}
	return server, nil
}

func (s *Server) start(options []Option) (err error) {
	if s.ClientCA, err = NewCA("drover-test-client-ca"); err != nil {
		return err
	}
	if s.environment, err = s.newEnvironment(); err != nil {
		return err
	}
	for _, option := range options {
		option(s.environment)
	}
	if s.Config, err = s.environment.Start(); err != nil {
		return err
	}
	s.Client, err = client.New(s.Config, client.Options{Scheme: s.Scheme})
	return err
}

func (s *Server) newEnvironment() (*envtest.Environment, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	clusterAPI, err := crds.Load(root)
	if err != nil {
		return nil, err
	}
	environment := &envtest.Environment{
		Scheme:                   s.Scheme,
		CRDs:                     clusterAPI,
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
	}
	return environment, s.configure(environment)
}

// configure makes the API server more like one of a real cluster than envtest's defaults are.
func (s *Server) configure(environment *envtest.Environment) error {
	etcd := &envtest.Etcd{DataDir: filepath.Join(s.Dir, "etcd")}
	api := environment.ControlPlane.GetAPIServer()
	api.CertDir = filepath.Join(s.Dir, "kube-apiserver")
	for _, dir := range []string{etcd.DataDir, api.CertDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	environment.ControlPlane.Etcd = etcd
	api.Authn = s.ClientCA
	api.Configure().
		Set("authorization-mode", "Node", "RBAC").
		Set("enable-admission-plugins", "NodeRestriction").
		Set("enable-bootstrap-token-auth", "true").
		Set("service-cluster-ip-range", serviceCIDR)

	var err error
	if etcd.Path, err = mortal(s.Dir, filepath.Join(s.assets, "etcd")); err != nil {
		return err
	}
	api.Path, err = mortal(s.Dir, filepath.Join(s.assets, "kube-apiserver"))
	return err
}

// Stop ends the control plane and what runs beside it, and removes its files.
func (s *Server) Stop() error {
	var errs []error
	for _, manager := range s.managers {
		manager.stop()
	}
	if s.environment != nil {
		errs = append(errs, s.environment.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.Dir))...)
}

// Namespace makes a namespace for the test alone and returns its name. It is not removed: the control plane's end
// takes it along, and there may be no controller to empty it.
func (s *Server) Namespace(tb testing.TB) string {
	tb.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := s.Client.Create(context.Background(), namespace); err != nil {
		tb.Fatalf("create the test's namespace: %v", err)
	}
	return namespace.Name
}

// User is a configuration with a client certificate for that user and those groups.
func (s *Server) User(tb testing.TB, name string, groups ...string) *rest.Config {
	tb.Helper()
	config, err := s.ClientCA.AddUser(envtest.User{Name: name, Groups: groups}, rest.AnonymousClientConfig(s.Config))
	if err != nil {
		tb.Fatal(err)
	}
	config.QPS, config.Burst = s.Config.QPS, s.Config.Burst
	return config
}

// findAssets checks that the binaries are where KUBEBUILDER_ASSETS says.
func findAssets(names ...string) (string, error) {
	dir := os.Getenv(assetsVariable)
	if dir == "" {
		return "", fmt.Errorf("%s is not set: this test needs a directory with %s in it; run it with make test, "+
			"or run make build once and set %s=$PWD/.drover/bin", assetsVariable, strings.Join(names, " and "), assetsVariable)
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("%s has no %s: run make build, which makes it: %w", assetsVariable, name, err)
		}
	}
	return filepath.Abs(dir)
}

// moduleRoot is the directory of the go.mod above the test's package, where go test starts it.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "config", "crd")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("no directory above the working directory has config/crd: run the test inside Drover's source tree")
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, clusterv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}
