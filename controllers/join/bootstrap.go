package join

import (
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// newBootstrap is the document that makes a machine a node of its pool.
func newBootstrap(machine *clusterv1.Machine, pool *v1alpha1.NodePool, spec v1alpha1.NodeAgentSpec, t *token) *node.Bootstrap {
	return &node.Bootstrap{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: node.BootstrapKind},
		NodeName: machine.Name,
		Token:    t.String(),
		Taints:   pool.Spec.Template.Spec.Taints,
		Spec:     spec,
	}
}

// newBootstrapSecret is the Secret that the Machine's spec.bootstrap.dataSecretName names.
func newBootstrapSecret(machine *clusterv1.Machine, bootstrap *node.Bootstrap) (*corev1.Secret, error) {
	document, err := json.Marshal(bootstrap)
	if err != nil {
		return nil, fmt.Errorf("encode the bootstrap data of Machine %s: %w", machine.Name, err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: machine.Namespace,
			Name:      machine.Name + v1alpha1.BootstrapSecretSuffix,
			Labels: map[string]string{
				clusterv1.ClusterNameLabel: machine.Spec.ClusterName,
				v1alpha1.PoolLabel:         machine.Labels[v1alpha1.PoolLabel],
				v1alpha1.PoolUIDLabel:      machine.Labels[v1alpha1.PoolUIDLabel],
				v1alpha1.MachineUIDLabel:   string(machine.UID),
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine", Name: machine.Name, UID: machine.UID,
			}},
		},
		Type: clusterv1.ClusterSecretType,
		Data: map[string][]byte{
			v1alpha1.BootstrapSecretKey:       document,
			v1alpha1.BootstrapSecretFormatKey: []byte(v1alpha1.BootstrapFormat),
		},
	}, nil
}

// bootstrapToken is the token in a bootstrap Secret, or "" when there is none.
func bootstrapToken(secret *corev1.Secret) string {
	if secret == nil {
		return ""
	}
	var bootstrap node.Bootstrap
	if json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], &bootstrap) != nil {
		return ""
	}
	return bootstrap.Token
}

// ownedBy is true when the Secret was made for this very Machine.
func ownedBy(secret *corev1.Secret, machine *clusterv1.Machine) bool {
	for _, owner := range secret.OwnerReferences {
		if owner.UID == machine.UID {
			return true
		}
	}
	return false
}

// presetToken is the token that an existing bootstrap Secret has already promised to the machine, when it is one that
// this Machine may have: the API server's copy may have expired and been removed while the manager was down.
func presetToken(secret *corev1.Secret, machine *clusterv1.Machine) (id, value string, ok bool) {
	id, value, ok = strings.Cut(bootstrapToken(secret), ".")
	if !ok || len(value) == 0 {
		return "", "", false
	}
	for attempt := range tokenAttempts {
		if id == tokenID(machine.UID, attempt) {
			return id, value, true
		}
	}
	return "", "", false
}
