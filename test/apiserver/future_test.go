package apiserver_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// TestAStatusFromANewerDroverIsAccepted whatever new words it has: an API server that refused them would hear nothing more
// of the node.
func TestAStatusFromANewerDroverIsAccepted(t *testing.T) {
	server := apiserver.Shared(t)
	now := metav1.NewTime(time.Now())
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: "newer"}, Spec: v1alpha1.NodeAgentSpec{
		Revision: "r", Version: "v1.36.3",
		Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "r/b@sha256:" + strings.Repeat("0", 64)}},
		Cluster:   v1alpha1.ClusterSettings{Server: "https://10.0.0.1", ServerCA: "ca", ClientCA: "ca"},
	}}
	host := &v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Namespace: server.Namespace(t), Name: "newer"}}
	host.Spec.Address, host.Spec.User = "10.0.0.2", "root"
	host.Spec.KeySecretRef.Name = "key"
	host.Spec.HostKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6fJ8OJvWLmZ9mN8yYwOv8cJ0p1x6p2mR7k3uEw0n0T"}
	for _, object := range []client.Object{agent, host} {
		if err := server.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]struct {
		object client.Object
		say    func(word string)
	}{
		"a phase":               {agent, func(word string) { agent.Status.Phase = v1alpha1.NodeAgentPhase(word) }},
		"a component's state":   {agent, func(word string) { agent.Status.Components = component("kubelet", word) }},
		"a component":           {agent, func(word string) { agent.Status.Components = component(strings.ToLower(word), "Running") }},
		"a finding's severity":  {agent, func(word string) { agent.Status.Findings = finding(word) }},
		"a certificate":         {agent, func(word string) { agent.Status.Certificates = certificate(strings.ToLower(word), now) }},
		"a component that fell": {agent, func(word string) { agent.Status.FailedRevision = rolledBack(strings.ToLower(word), now) }},
		"a Host's state":        {host, func(word string) { host.Status.State = v1alpha1.HostState(word) }},
		"a wish for a cleaning": {host, func(word string) { host.Status.Claim = claim(word) }},
	}
	for what, c := range cases {
		for word, accepted := range map[string]bool{"Ratcheting": true, "Ratcheting!": false, "R" + strings.Repeat("a", 63): false} {
			if err := server.Client.Get(t.Context(), client.ObjectKeyFromObject(c.object), c.object); err != nil {
				t.Fatal(err)
			}
			c.say(word)
			err := server.Client.Status().Update(t.Context(), c.object)
			if accepted && err != nil || !accepted && !apierrors.IsInvalid(err) {
				t.Errorf("%s called %s: got %v, want it accepted: %t", what, word, err, accepted)
			}
		}
	}
}

func component(name, state string) []v1alpha1.ComponentStatus {
	return []v1alpha1.ComponentStatus{{Name: name, State: v1alpha1.ComponentState(state)}}
}

func finding(severity string) []v1alpha1.Finding {
	return []v1alpha1.Finding{{Name: "CgroupV1", Severity: v1alpha1.FindingSeverity(severity), Message: "said by a newer agent"}}
}

func certificate(name string, until metav1.Time) []v1alpha1.CertificateStatus {
	return []v1alpha1.CertificateStatus{{Name: name, NotAfter: until}}
}

func rolledBack(component string, at metav1.Time) *v1alpha1.FailedRevision {
	return &v1alpha1.FailedRevision{Revision: "r", Reason: v1alpha1.ReasonExited, Component: component, Time: at}
}

func claim(cleanup string) *v1alpha1.HostClaim {
	return &v1alpha1.HostClaim{Kind: "HostMachine", Name: "m", UID: "u", Cleanup: v1alpha1.HostCleanup(cleanup)}
}

// TestNoStatusHasAClosedListOfWords but those of Kubernetes' conditions and Cluster API's addresses, which are not ours.
func TestNoStatusHasAClosedListOfWords(t *testing.T) {
	server := apiserver.Shared(t)
	definitions := &apiextensionsv1.CustomResourceDefinitionList{}
	if err := server.Client.List(t.Context(), definitions); err != nil {
		t.Fatal(err)
	}
	kinds := 0
	for i := range definitions.Items {
		spec := &definitions.Items[i].Spec
		if spec.Group != v1alpha1.GroupVersion.Group {
			continue
		}
		kinds++
		for _, version := range spec.Versions {
			for _, path := range closed(version.Schema.OpenAPIV3Schema.Properties["status"], "status") {
				if !slices.Contains([]string{"status.conditions.status", "status.addresses.type"}, path) {
					t.Errorf("%s %s is a closed list: a newer agent's or manager's whole status would be refused for a word", spec.Names.Kind, path)
				}
			}
		}
	}
	if kinds == 0 {
		t.Error("there is no kind of ours")
	}
}

// closed are the paths below a schema that have a list of the values they may have.
func closed(schema apiextensionsv1.JSONSchemaProps, path string) []string {
	var paths []string
	if len(schema.Enum) > 0 {
		paths = append(paths, path)
	}
	for name := range schema.Properties {
		paths = append(paths, closed(schema.Properties[name], path+"."+name)...)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		paths = append(paths, closed(*schema.Items.Schema, path)...)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		paths = append(paths, closed(*schema.AdditionalProperties.Schema, path)...)
	}
	return paths
}
