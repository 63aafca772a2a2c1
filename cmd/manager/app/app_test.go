package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/drover-dev/drover/test/apiserver"
)

func TestFlagsAreThoseOfTheDevelopmentWorld(t *testing.T) {
	options := DefaultOptions()
	flags := pflag.NewFlagSet("manager", pflag.ContinueOnError)
	options.AddFlags(flags)
	if err := flags.Parse([]string{
		"--cluster-api=external", "--leader-elect", "--metrics-bind-address=:1", "--health-probe-bind-address=:2", "--kubeconfig=k",
		"--local-root=r", "--agent-binary=a", "--agent-binary=linux/arm64=b,c", "--shared-bundles=s", "--artifact-root=o", "--artifact-bind-address=:3",
		"--artifact-cert-file=c", "--artifact-key-file=y", "--api-server-url=https://a", "--server-ca-file=f", "--client-ca-file=g",
		"--cluster-dns=10.96.0.10,fd00::a", "--cluster-domain=d", "--service-cidrs=10.96.0.0/16", "--pod-cidrs=10.244.0.0/16",
	}); err != nil {
		t.Fatal(err)
	}
	if d := options.Discovery; len(d.DNSServers) != 2 || d.ServiceCIDRs[0] != "10.96.0.0/16" || options.ArtifactKeyFile != "y" || !options.LeaderElect || !slices.Equal(options.AgentBinaries, []string{"a", "linux/arm64=b,c"}) {
		t.Errorf("got %+v", options)
	}
}

func TestCompleteSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	agent := filepath.Join(dir, "agent")
	if err := os.WriteFile(agent, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		reason string
		change func(*Options)
		want   string
	}{
		{"a mode that is none", func(o *Options) { o.ClusterAPI = "none" }, "--cluster-api is \"none\""},
		{"a format that is none", func(o *Options) { o.LogFormat = "xml" }, "--log-format is \"xml\""},
		{"artifacts without a certificate", func(o *Options) { o.ArtifactRoot = dir }, "--artifact-root needs --artifact-cert-file"},
		{"no agent for local machines", func(o *Options) { o.LocalRoot = dir }, "set --agent-binary"},
		{"an agent that is not there", func(o *Options) { o.AgentBinaries = []string{filepath.Join(dir, "none")} }, "no agent at " + dir},
		{"an architecture that is none", func(o *Options) { o.AgentBinaries = []string{"linux/pdp11=" + agent} }, "\"pdp11\", which is none of amd64, arm, "},
		{"two agents for one architecture", func(o *Options) { o.AgentBinaries = []string{agent, "linux/" + runtime.GOARCH + "=" + agent} }, "given twice"},
	} {
		options := DefaultOptions()
		test.change(&options)
		if _, err := options.complete(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", test.reason, err, test.want)
		}
	}
	options := DefaultOptions()
	options.LocalRoot, options.AgentBinaries = filepath.Join(dir, "machines"), []string{agent, "linux/s390x=" + agent}
	completed, err := options.complete()
	if want := map[string]string{runtime.GOARCH: agent, "s390x": agent}; err != nil || !maps.Equal(completed.agents, want) {
		t.Errorf("got the agents %v (%v), want %v", completed.agents, err, want)
	}
	if err != nil || completed.SharedBundles != filepath.Join(dir, "bundles") {
		t.Errorf("got shared bundles at %s (%v), want them beside the machines", completed.SharedBundles, err)
	}
}

func TestNewSaysWhyItCannotStart(t *testing.T) {
	nowhere := &rest.Config{Host: "https://127.0.0.1:1"}
	if _, err := New(t.Context(), nowhere, testOptions()); err == nil || !strings.Contains(err.Error(), "https://127.0.0.1:1 cannot be reached") {
		t.Errorf("no API server: got %v", err)
	}
	bare := apiserver.Start(t, apiserver.WithoutCRDs())
	if _, err := New(t.Context(), bare.Config, testOptions()); err == nil || !strings.Contains(err.Error(), "apply dist/install.yaml first") {
		t.Errorf("no definitions: got %v", err)
	}
	nobody := apiserver.Shared(t).User(t, "nobody")
	if _, err := New(t.Context(), nobody, testOptions()); err == nil || !strings.Contains(err.Error(), "lacks rights") || !apierrors.IsForbidden(errors.Unwrap(err)) {
		t.Errorf("no rights: got %v", err)
	}
	options := testOptions()
	options.AgentBinaries = []string{filepath.Join(t.TempDir(), "agent")}
	if err := os.WriteFile(options.AgentBinaries[0], []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), apiserver.Shared(t).Config, options); err == nil || !strings.Contains(err.Error(), "is no program of Linux") {
		t.Errorf("an agent that is none: got %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	options = testOptions()
	options.HealthProbeBindAddress = listener.Addr().String()
	if _, err := New(t.Context(), apiserver.Shared(t).Config, options); err == nil || !strings.Contains(explain(err).Error(), "another process has the port") {
		t.Errorf("a port in use: got %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	server := apiserver.Shared(t)
	options := testOptions()
	options.HealthProbeBindAddress, options.MetricsBindAddress = freeAddress(t), freeAddress(t)
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := New(ctx, ownConfig(t, server), options)
	if err != nil {
		t.Fatal(err)
	}
	apiserver.RunManager(ctx, t, mgr, cancel)
	probes, metrics := "http://"+options.HealthProbeBindAddress, "https://"+options.MetricsBindAddress+"/metrics"
	bind(t, server, "drover-metrics-reader", "scraper")
	for _, c := range []struct {
		who, url, token string
		want            int
	}{
		{"anybody", probes + "/healthz", "", http.StatusOK},
		{"anybody", probes + "/readyz", "", http.StatusOK},
		{"somebody without a token", metrics, "", http.StatusUnauthorized},
		{"somebody without rights", metrics, serviceAccountToken(t, server, "stranger"), http.StatusForbidden},
		{"whoever is bound to drover-metrics-reader", metrics, serviceAccountToken(t, server, "scraper"), http.StatusOK},
	} {
		// Each endpoint is served a moment after the manager has started, and rights count a moment after they were given.
		got := 0
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
			got = status(t, c.url, c.token)
			return got == c.want, nil
		})
		if err != nil {
			t.Errorf("%s gets status %d from %s, want %d", c.who, got, c.url, c.want)
		}
	}
}

// status is what a server answers, or 0 when there is none.
func status(t *testing.T, url, token string) int {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(&rest.Config{BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer httpClient.CloseIdleConnections()
	response, err := httpClient.Get(url)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

func TestLogsAreJSONOnRequest(t *testing.T) {
	var out strings.Builder
	setupLogging(&out, logFormatJSON, 2).V(2).Info("Did something", "machine", "m")
	var line map[string]any
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil || line["msg"] != "Did something" || line["machine"] != "m" {
		t.Errorf("got %q (%v)", out.String(), err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// TestDeploymentLetsReconcilesEnd compares what the process asks for at its end with what a kubelet gives it.
func TestDeploymentLetsReconcilesEnd(t *testing.T) {
	raw, err := os.ReadFile("../../../config/manager/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	deployment := &appsv1.Deployment{}
	if err := yaml.Unmarshal(raw, deployment); err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(ptr.Deref(deployment.Spec.Template.Spec.TerminationGracePeriodSeconds, 30)) * time.Second
	if grace <= shutdownTimeout {
		t.Errorf("the manager is killed after %s, and takes up to %s", grace, shutdownTimeout)
	}
}

func TestAgentsBesideTheManagerAreFound(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"drover-agent", "drover-agent-riscv64", "drover-agent-old"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{runtime.GOARCH: filepath.Join(dir, "drover-agent"), "riscv64": filepath.Join(dir, "drover-agent-riscv64")}
	if got := agentsBeside(dir); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
