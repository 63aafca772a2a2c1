package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/agent/supervise"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }

// serving is an API server as a cluster's settings have it, and an identity that it knows.
func serving(t *testing.T, paths identity.Paths) v1alpha1.ClusterSettings {
	t.Helper()
	config := apiserver.Shared(t).Config
	if err := os.MkdirAll(filepath.Dir(paths.Pair()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(paths.Pair(), slices.Concat(config.CertData, []byte("\n"), config.KeyData), 0o600); err != nil {
		t.Fatal(err)
	}
	return v1alpha1.ClusterSettings{Server: config.Host, ServerCA: string(config.CAData)}
}

// follow has an agent install what is wanted, and follow its API server, until the function that it returns is called.
func follow(t *testing.T, a *Agent, api *kubeapi.Client) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { a.installer.Run(ctx) })
	parts.Go(func() { a.followServer(ctx, api) })
	return func() { cancel(); parts.Wait() }
}

func TestAnAPIServerIsKeptOnlyAfterItAnswered(t *testing.T) {
	a, g := machine(t)
	g.Spec.Cluster = serving(t, a.identityPaths())
	a.bootstrap, a.switched = &g.Bootstrap, make(chan struct{}, 1)
	a.installer.NewWork = func() generation.Work { return effortless{} }
	a.installer.Judge = func(context.Context) generation.Verdict { return generation.Verdict{Healthy: true} }
	a.installer.Changed = func() { wake(a.switched) }
	first := serverOf(g.Spec.Cluster)
	api, err := kubeapi.New(a.configOf(a.firstServer()))
	if err != nil {
		t.Fatal(err)
	}
	defer follow(t, a, api)()

	becomes := func(reason string, kept server, found string) {
		t.Helper()
		var findings []v1alpha1.Finding
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			findings = a.serverFindings()
			if a.answered() == kept && (found == "" && len(findings) == 0 || found != "" && len(findings) == 1 && strings.Contains(findings[0].Message, found)) {
				if err := a.ask(t.Context(), api); err != nil {
					t.Errorf("%s: the agent is cut off: %v", reason, err)
				}
				if again := a.firstServer(); again != kept {
					t.Errorf("%s: an agent that is restarted begins with %s", reason, again.URL)
				}
				return
			}
		}
		t.Fatalf("%s: it is %s, found %v", reason, a.answered().URL, findings)
	}
	want := func(revision string, s server) {
		spec := *g.Spec.DeepCopy()
		spec.Revision, spec.Cluster.Server, spec.Cluster.ServerCA = revision, s.URL, s.CA
		a.installer.Want(&v1alpha1.NodeAgent{Spec: spec})
	}
	becomes("the first one answers", first, "")

	want("wrong", server{URL: "https://127.0.0.1:1", CA: first.CA})
	becomes("nobody is there", first, "the API server https://127.0.0.1:1, which this node is to use (spec.cluster.server), does not answer the agent, which goes on with "+first.URL)
	other := server{URL: strings.Replace(first.URL, "127.0.0.1", "localhost", 1), CA: first.CA}
	if other == first {
		t.Fatalf("%s has no other name", first.URL)
	}
	want("right", other)
	becomes("the other answers", other, "")
	stranger := clockAt(t, time.Now()).ServerCA
	want("stranger", server{URL: other.URL, CA: stranger})
	becomes("another authority does not vouch for it", other, "(spec.cluster.serverCA), so that the agent goes on with the one before")
	both := server{URL: other.URL, CA: stranger + other.CA}
	want("overlap", both)
	becomes("one of two does", both, "")
}

// standIns are processes that run in the place of the kubelet and kube-proxy.
type standIns struct{ agent *Agent }

// pid is that of a process that runs, 0 while there is none.
func (s standIns) pid(name string) (pid int32) {
	for _, c := range s.agent.supervise.Status() {
		if c.Name == name && c.State == v1alpha1.ComponentRunning {
			pid = ptr.Deref(c.PID, 0)
		}
	}
	return pid
}

func standIn(t *testing.T, a *Agent) standIns {
	t.Helper()
	dir := t.TempDir()
	a.paths.KubeletKubeconfig, a.paths.AgentKubeconfig = filepath.Join(dir, "kubelet.kubeconfig"), a.identityPaths().Kubeconfig()
	if err := os.WriteFile(a.paths.KubeletKubeconfig, nil, 0o600); err != nil { // as the kubelet itself may have written it
		t.Fatal(err)
	}
	if err := a.writeKubeconfigs(); err != nil {
		t.Fatal(err)
	}
	var processes []supervise.Process
	for _, name := range []string{v1alpha1.ComponentKubelet, v1alpha1.ComponentKubeProxy} {
		processes = append(processes, supervise.Process{Name: name, Path: "/bin/sleep", Args: []string{"1000"}, LogFile: filepath.Join(dir, name+".log")})
	}
	if err := a.supervise.Apply(processes); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.supervise.Run(ctx) }()
	t.Cleanup(func() {
		if err := a.supervise.StopAll(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := standIns{a}
	for deadline := time.Now().Add(30 * time.Second); s.pid(v1alpha1.ComponentKubelet) == 0 || s.pid(v1alpha1.ComponentKubeProxy) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing runs in the components' place")
		}
	}
	return s
}

// user writes a certificate of a user with its key.
func user(t *testing.T, path string, ca *apiserver.CA, name, group string) {
	t.Helper()
	config, err := ca.AddUser(envtest.User{Name: name, Groups: []string{group}}, &rest.Config{})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = atomicfile.Write(path, slices.Concat(config.CertData, []byte("\n"), config.KeyData), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheComponentsFollowTheAPIServerThatKnowsThem(t *testing.T) {
	a, g := machine(t)
	g.Spec.Cluster = serving(t, a.identityPaths())
	a.bootstrap, a.switched = &g.Bootstrap, make(chan struct{}, 1)
	a.installer.NewWork = func() generation.Work { return effortless{} }
	a.installer.Judge = func(context.Context) generation.Verdict { return generation.Verdict{Healthy: true} }
	a.installer.Changed = func() { wake(a.switched) }
	first := serverOf(g.Spec.Cluster)
	stranger, err := apiserver.NewCA("stranger")
	if err != nil {
		t.Fatal(err)
	}
	user(t, a.kubelet().Pair(), stranger, v1alpha1.NodeUserPrefix+"node-1", v1alpha1.NodesGroup)
	components := standIn(t, a)
	api, err := kubeapi.New(a.configOf(a.present()))
	if err != nil {
		t.Fatal(err)
	}
	defer follow(t, a, api)()
	eventually := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 30s: %s; found %v", what, a.serverFindings())
			}
		}
	}
	names := func(s server) bool {
		ca, err := os.ReadFile(a.identityPaths().ServerCA())
		if err != nil || string(ca) != s.CA {
			return false
		}
		for _, path := range []string{a.paths.KubeletKubeconfig, a.paths.AgentKubeconfig} {
			config, err := clientcmd.BuildConfigFromFlags("", path)
			if err != nil || config.Host != s.URL || config.CAFile != a.identityPaths().ServerCA() {
				return false
			}
		}
		return true
	}
	want := func(revision string, s server) {
		spec := *g.Spec.DeepCopy()
		spec.Revision, spec.Cluster.Server, spec.Cluster.ServerCA = revision, s.URL, s.CA
		a.installer.Want(&v1alpha1.NodeAgent{Spec: spec})
	}
	kubelet, proxy := components.pid(v1alpha1.ComponentKubelet), components.pid(v1alpha1.ComponentKubeProxy)
	eventually("the first answered", func() bool { return a.answered() == first && names(first) })

	other := server{URL: strings.Replace(first.URL, "127.0.0.1", "localhost", 1), CA: first.CA}
	want("other", other)
	eventually("it is found that the kubelet is not known", func() bool {
		f := a.serverFindings()
		return len(f) == 1 && strings.Contains(f[0].Message, "with the kubelet's certificate: ")
	})
	if !names(first) || components.pid(v1alpha1.ComponentKubelet) != kubelet || components.pid(v1alpha1.ComponentKubeProxy) != proxy {
		t.Error("the components were sent to a server that does not know the kubelet")
	}
	if err := a.writeKubeconfigs(); err != nil || !names(first) { // as when the generation is applied again
		t.Errorf("its kubeconfigs name another one (%v)", err)
	}
	user(t, a.kubelet().Pair(), apiserver.Shared(t).ClientCA, v1alpha1.NodeUserPrefix+"node-1", v1alpha1.NodesGroup)
	eventually("the components are sent to the other", func() bool {
		k, p := components.pid(v1alpha1.ComponentKubelet), components.pid(v1alpha1.ComponentKubeProxy)
		return names(other) && a.answered() == other && k > 0 && k != kubelet && p > 0 && p != proxy
	})

	kubelet, proxy = components.pid(v1alpha1.ComponentKubelet), components.pid(v1alpha1.ComponentKubeProxy)
	both := server{URL: other.URL, CA: string(stranger.CertPEM) + other.CA}
	want("overlap", both)
	eventually("the kubelet trusts both", func() bool {
		k := components.pid(v1alpha1.ComponentKubelet)
		return names(both) && a.answered() == both && k > 0 && k != kubelet
	})
	if components.pid(v1alpha1.ComponentKubeProxy) != proxy {
		t.Error("kube-proxy was restarted for what it reads again by itself")
	}
}
