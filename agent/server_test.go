package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/identity"
	"github.com/drover-dev/drover/agent/kubeapi"
	"github.com/drover-dev/drover/api/v1alpha1"
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

func TestAnAPIServerIsKeptOnlyAfterItAnswered(t *testing.T) {
	a, g := machine(t)
	g.Spec.Cluster = serving(t, a.identityPaths())
	a.bootstrap, a.switched = &g.Bootstrap, make(chan struct{}, 1)
	a.installer.NewWork = func() generation.Work { return effortless{} }
	a.installer.Judge = func(context.Context) generation.Verdict { return generation.Verdict{Healthy: true} }
	a.installer.Changed = func() { wake(a.switched) }
	first := serverOf(g.Spec.Cluster)
	api, err := kubeapi.New(a.firstServer().config(a.identityPaths()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { a.installer.Run(ctx); ended <- struct{}{} }()
	go func() { a.followServer(ctx, a.identityPaths(), api); ended <- struct{}{} }()
	defer func() { cancel(); <-ended; <-ended }()

	becomes := func(reason string, kept server, found string) {
		t.Helper()
		var findings []v1alpha1.Finding
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			findings = a.serverFindings()
			if a.answered() == kept && (found == "" && len(findings) == 0 || found != "" && len(findings) == 1 && strings.Contains(findings[0].Message, found)) {
				if err := a.ask(ctx, api); err != nil {
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
