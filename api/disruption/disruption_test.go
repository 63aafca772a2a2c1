package disruption

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestTheTableHasARowForEachFieldAndNoOther(t *testing.T) {
	used := map[string]bool{}
	walk(reflect.TypeFor[v1alpha1.NodeAgentSpec](), "", used, t.Errorf)
	walk(reflect.TypeFor[v1alpha1.NodeTemplate](), "template", used, t.Errorf)
	for _, row := range Table() {
		if !used[row.Field] {
			t.Errorf("the table has a row for %s, and no field is called that", row.Field)
		}
		if row.Message == "" {
			t.Errorf("the row of %s says nothing", row.Field)
		}
	}
}

func TestAFieldWithoutARowIsFound(t *testing.T) {
	type later struct {
		MaxPods  int               `json:"maxPods"`
		Settings map[string]string `json:"settings"`
	}
	var missing []string
	fieldsOf(reflect.TypeFor[later](), "kubelet", map[string]bool{}, func(_ string, args ...any) {
		for _, arg := range args {
			path, _ := arg.(string)
			missing = append(missing, path)
		}
	})
	if want := []string{"kubelet.settings"}; !slices.Equal(missing, want) {
		t.Errorf("without a row: %v, want %v", missing, want)
	}
}

// walk reports the fields of a type, down to those that have a row, that none of the table's rows is about.
func walk(of reflect.Type, path string, used map[string]bool, missing func(string, ...any)) {
	if row, found := rowOf(path); found {
		used[row.Field] = true
		return
	}
	if !nested(of) {
		missing("%s has no row in the table: say what a change of it does to a node", path)
		return
	}
	fieldsOf(of, path, used, missing)
}

func fieldsOf(of reflect.Type, path string, used map[string]bool, missing func(string, ...any)) {
	for i := range of.NumField() {
		walk(of.Field(i).Type, below(path, of.Field(i)), used, missing)
	}
}

// rowOf is the row of a field. What a pool's template has and its nodes' state as well has one row.
func rowOf(path string) (Row, bool) {
	if row, found := Of(path); found {
		return row, true
	}
	return Of(strings.TrimPrefix(path, "template.spec."))
}

func TestWhatAChangeDoes(t *testing.T) {
	type want struct {
		class      Class
		components string
	}
	for name, test := range map[string]struct {
		change func(*v1alpha1.NodeAgentSpec)
		want   map[string]want
	}{
		"nothing":             {func(*v1alpha1.NodeAgentSpec) {}, nil},
		"another name for it": {func(s *v1alpha1.NodeAgentSpec) { s.Revision = "other" }, map[string]want{"revision": {None, ""}}},
		"a patch version":     {func(s *v1alpha1.NodeAgentSpec) { s.Version = "v1.37.2" }, map[string]want{"version": {Restart, "kubelet kube-proxy"}}},
		"an earlier patch":    {func(s *v1alpha1.NodeAgentSpec) { s.Version = "v1.37.0" }, map[string]want{"version": {Restart, "kubelet kube-proxy"}}},
		"a minor version":     {func(s *v1alpha1.NodeAgentSpec) { s.Version = "v1.38.0" }, map[string]want{"version": {Drain, "kubelet kube-proxy"}}},
		"an earlier minor":    {func(s *v1alpha1.NodeAgentSpec) { s.Version = "v1.36.9" }, map[string]want{"version": {Drain, "kubelet kube-proxy"}}},
		"a major version":     {func(s *v1alpha1.NodeAgentSpec) { s.Version = "v2.37.1" }, map[string]want{"version": {Drain, "kubelet kube-proxy"}}},
		"no version":          {func(s *v1alpha1.NodeAgentSpec) { s.Version = "latest" }, map[string]want{"version": {Drain, "kubelet kube-proxy"}}},
		"another bundle":      {func(s *v1alpha1.NodeAgentSpec) { s.Artifacts[0].Image = "old/bundle@sha256:2" }, map[string]want{"artifacts": {Restart, "containerd kubelet kube-proxy by content"}}},
		"another registry":    {func(s *v1alpha1.NodeAgentSpec) { s.Artifacts[0].Image = "new/bundle@sha256:1" }, map[string]want{"artifacts": {None, ""}}},
		"one more architecture": {func(s *v1alpha1.NodeAgentSpec) {
			s.Artifacts = append(s.Artifacts, v1alpha1.Artifact{Architecture: "arm64", Image: "old/bundle@sha256:3"})
		}, map[string]want{"artifacts": {None, ""}}},
		"the cluster's CAs": {func(s *v1alpha1.NodeAgentSpec) { s.Cluster.ServerCA, s.Cluster.ClientCA = "new", "new" },
			map[string]want{"cluster.serverCA": {Restart, "kubelet"}, "cluster.clientCA": {None, ""}}},
		"the cluster's DNS": {func(s *v1alpha1.NodeAgentSpec) { s.Cluster.DNSServers = []string{"10.96.0.11"} }, map[string]want{"cluster.dnsServers": {Restart, "kubelet"}}},
		"the pods' ranges":  {func(s *v1alpha1.NodeAgentSpec) { s.Cluster.PodCIDRs = nil }, map[string]want{"cluster.podCIDRs": {Restart, "kube-proxy"}}},
		"a kubelet setting": {func(s *v1alpha1.NodeAgentSpec) { s.Kubelet.MaxPods = ptr.To[int32](20) }, map[string]want{"kubelet.maxPods": {Restart, "kubelet"}}},
		"the same in other words": {func(s *v1alpha1.NodeAgentSpec) {
			s.Kubelet.KubeReserved[corev1.ResourceMemory] = resource.MustParse("1024Mi")
		}, nil},
		"a mirror": {func(s *v1alpha1.NodeAgentSpec) {
			s.Runtime.RegistryMirrors = []v1alpha1.RegistryMirror{{Registry: "docker.io"}}
		},
			map[string]want{"runtime.registryMirrors": {None, ""}}},
		"another proxy mode":            {func(s *v1alpha1.NodeAgentSpec) { s.Proxy.Mode = v1alpha1.ProxyModeIPTables }, map[string]want{"proxy.mode": {Restart, "kube-proxy"}}},
		"no proxy":                      {func(s *v1alpha1.NodeAgentSpec) { s.Proxy.Mode = v1alpha1.ProxyModeNone }, map[string]want{"proxy.mode": {Restart, "kube-proxy"}}},
		"another network":               {func(s *v1alpha1.NodeAgentSpec) { s.Network.Mode = v1alpha1.NetworkModeExternal }, map[string]want{"network.mode": {Drain, "kubelet"}}},
		"an agent where none was named": {func(s *v1alpha1.NodeAgentSpec) { s.Agent = agent("old/agent@sha256:1") }, map[string]want{"agent": {Restart, "agent"}}},
		"a sysctl":                      {func(s *v1alpha1.NodeAgentSpec) { s.Sysctls = map[string]v1alpha1.SysctlValue{"vm.max_map_count": "1"} }, map[string]want{"sysctls": {None, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := spec(), spec()
			test.change(to)
			got := map[string]want{}
			for _, c := range Between(from, to) {
				w := want{c.Class, strings.Join(c.Components, " ")}
				if c.ByContent {
					w.components += " by content"
				}
				got[c.Field] = w
				if c.Message == "" {
					t.Errorf("the change of %s has no sentence", c.Field)
				}
			}
			if len(got) == 0 {
				got = nil
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("the changes (-want +got):\n%s", diff)
			}
		})
	}
}

func agent(image string) *v1alpha1.AgentRelease {
	return &v1alpha1.AgentRelease{Version: "v0.2.0", Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: image}}}
}

func TestAnAgentIsReplacedByAnotherProgramAlone(t *testing.T) {
	renamed := agent("new/agent@sha256:1")
	renamed.Version = "v0.2.1"
	for what, test := range map[string]struct {
		to   *v1alpha1.AgentRelease
		want Class
	}{
		"another program":                              {agent("old/agent@sha256:2"), Restart},
		"the same from elsewhere, by another name":     {renamed, None},
		"none: the agent that there is stays as it is": {nil, None},
	} {
		from, to := spec(), spec()
		from.Agent, to.Agent = agent("old/agent@sha256:1"), test.to
		changes := Between(from, to)
		if len(changes) != 1 || changes[0].Field != ComponentAgent || changes[0].Class != test.want || (len(changes[0].Components) > 0) != (test.want == Restart) {
			t.Errorf("%s: the changes are %+v", what, changes)
		}
	}
}

func TestANodeWithoutKubeProxyRestartsNone(t *testing.T) {
	from, to := spec(), spec()
	from.Proxy.Mode, to.Proxy.Mode, to.Version = v1alpha1.ProxyModeNone, v1alpha1.ProxyModeNone, "v1.37.2"
	if changes := Between(from, to); len(changes) != 1 || !slices.Equal(changes[0].Components, []string{v1alpha1.ComponentKubelet}) {
		t.Errorf("the changes are %+v, want the kubelet's only", changes)
	}
}

func TestTheWorstChangeIsTheNodes(t *testing.T) {
	for _, test := range []struct {
		classes []Class
		want    Class
	}{{nil, None}, {[]Class{None}, None}, {[]Class{Drain, Restart, None}, Drain}, {[]Class{Restart, Replace}, Replace}} {
		var changes []Change
		for _, c := range test.classes {
			changes = append(changes, Change{Class: c})
		}
		if got := Worst(changes); got != test.want {
			t.Errorf("the worst of %v is %v, want %v", test.classes, got, test.want)
		}
	}
}

func TestTheTemplateHasRowsOfItsOwn(t *testing.T) {
	got := map[string]Class{}
	for _, field := range []string{"template.metadata.labels", "template.spec.taints", "template.spec.infrastructureRef.name"} {
		row, found := Of(field)
		if !found {
			t.Errorf("%s has no row", field)
		}
		got[field] = row.Class
	}
	want := map[string]Class{"template.metadata.labels": None, "template.spec.taints": None, "template.spec.infrastructureRef.name": Replace}
	if !maps.Equal(got, want) {
		t.Errorf("the classes are %v, want %v", got, want)
	}
}

func spec() *v1alpha1.NodeAgentSpec {
	return &v1alpha1.NodeAgentSpec{
		Revision: "one", Version: "v1.37.1",
		Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "old/bundle@sha256:1"}},
		Cluster: v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443", ServerCA: "old", ClientCA: "old", DNSServers: []string{"10.96.0.10"},
			PodCIDRs: []string{"10.244.0.0/16"}},
		NodeSettings: v1alpha1.NodeSettings{
			Kubelet: v1alpha1.KubeletSettings{KubeReserved: map[corev1.ResourceName]resource.Quantity{corev1.ResourceMemory: resource.MustParse("1Gi")}},
			Proxy:   v1alpha1.ProxySettings{Mode: v1alpha1.ProxyModeNFTables},
			Network: v1alpha1.NetworkSettings{Mode: v1alpha1.NetworkModeRoutes},
		},
	}
}

func TestTheDocsHaveTheTable(t *testing.T) {
	docs, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, row := range Table() {
		components := strings.Join(row.Components, ", ")
		if components == "" {
			components = "–"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", row.Field, row.Class, components, row.Message)
	}
	if !strings.Contains(string(docs), want.String()) {
		t.Errorf("docs/agent.md does not have the table as it is; these are its rows:\n%s", want.String())
	}
}
