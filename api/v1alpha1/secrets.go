package v1alpha1

import "fmt"

// secretsRole is the ClusterRole of config/rbac/secrets.yaml.
const secretsRole = "drover-secrets"

// SecretsForbidden says what an administrator does who has bound the manager's right to Secrets to namespaces.
func SecretsForbidden(namespace string, err error) string {
	return fmt.Sprintf("The manager may not use the Secrets of the namespace %s (%v): let it with `kubectl create rolebinding %s --namespace=%[1]s --clusterrole=%[3]s --serviceaccount=drover-system:drover-manager`.",
		namespace, err, secretsRole)
}
