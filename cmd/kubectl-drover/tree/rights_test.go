package tree_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/cmd/kubectl-drover/tree"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }

// TestTreeOfWhatOneMaySee runs the command as users with the roles that Drover installs.
func TestTreeOfWhatOneMaySee(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	create := func(object client.Object) {
		t.Helper()
		if err := server.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "workers"}}
	pool.Spec.Template.Spec.Version = "v1.36.3"
	pool.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{APIGroup: "fleet.drover.dev", Kind: "LocalMachineTemplate", Name: "small"}
	create(pool)
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "workers-0", Labels: map[string]string{v1alpha1.PoolUIDLabel: string(pool.UID)}}}
	machine.Spec.ClusterName = v1alpha1.AdoptedClusterName
	machine.Spec.Bootstrap.DataSecretName = ptr.To("none")
	machine.Spec.InfrastructureRef = clusterv1.ContractVersionedObjectReference{APIGroup: "fleet.drover.dev", Kind: "LocalMachine", Name: "workers-0"}
	create(machine)
	create(&v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: "workers-0"}, Spec: v1alpha1.NodeAgentSpec{
		Revision: "abc", Version: "v1.36.3", Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "a.example/b@sha256:" + strings.Repeat("a", 64)}},
		Cluster: v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6443", ServerCA: "x", ClientCA: "x"},
	}})
	for _, role := range apiserver.UserRoles(t) {
		create(role)
	}
	create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "pools"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"fleet.drover.dev"}, Resources: []string{"nodepools"}, Verbs: []string{"list"}},
	}})

	for name, tc := range map[string]struct {
		reason, role string
		wide         bool
		sees, lacks  []string
	}{
		"viewer": {"a viewer sees all of it", "drover-viewer", true, []string{"workers", "Machine workers-0", "agent"}, []string{"Without"}},
		"editor": {"so does an editor", "drover-editor", true, []string{"workers", "Machine workers-0", "agent"}, []string{"Without"}},
		"guest": {"NodeAgents are the cluster's, so a viewer of one namespace sees none", "drover-viewer", false,
			[]string{"workers", "Machine workers-0", "Without node agents, which you may not list"}, []string{"─ agent"}},
		"stranger": {"pools alone are better than an error", "pools", false,
			[]string{"workers", "Without machines, node agents and hosts, which you may not list"}, []string{"Machine workers-0"}},
	} {
		t.Run(name, func(t *testing.T) {
			subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}}
			ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: tc.role}
			if tc.wide {
				create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: subjects})
			} else {
				create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, RoleRef: ref, Subjects: subjects})
			}
			kubeconfig := kubeconfigOf(t, server.User(t, name))
			var last error
			err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
				out, err := run(t, "--kubeconfig="+kubeconfig, "--namespace="+namespace)
				for _, want := range tc.sees {
					if !strings.Contains(out, want) {
						err = errors.Join(err, fmt.Errorf("%q is missing", want))
					}
				}
				for _, not := range tc.lacks {
					if strings.Contains(out, not) {
						err = errors.Join(err, fmt.Errorf("%q is there", not))
					}
				}
				last = fmt.Errorf("%w in\n%s", err, out)
				return err == nil, nil
			})
			if err != nil {
				t.Errorf("%s: %v", tc.reason, last)
			}
		})
	}
}

// run is what the command prints, on both of its outputs.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	command := tree.NewCommand()
	command.SetArgs(args)
	command.SetOut(&out)
	command.SetErr(&out)
	command.SilenceUsage = true
	err := command.ExecuteContext(t.Context())
	return out.String(), err
}

func kubeconfigOf(t *testing.T, user *rest.Config) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: user.Host, CertificateAuthorityData: user.CAData}
	if !strings.Contains(user.Host, "://") {
		config.Clusters["test"].Server = "https://" + user.Host
	}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: user.CertData, ClientKeyData: user.KeyData}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test", Namespace: corev1.NamespaceDefault}
	config.CurrentContext = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
