package join

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// tokenNamespace is where the API server looks for bootstrap tokens.
	tokenNamespace = metav1.NamespaceSystem
	// tokenAttempts is how many IDs a machine may try. There are 36^6 of them, so one is nearly always enough.
	tokenAttempts = 8
	// approvedKeyAnnotation on a token Secret has the hash of the public key that the token was used for. It is
	// written only when the token is extended; until then the approved request itself is still there to tell.
	approvedKeyAnnotation = "fleet.drover.dev/approved-key"
)

// tokenLifetime is how long a token is good for without being extended: the time a manager may be down.
func tokenLifetime(pool *v1alpha1.NodePool) time.Duration { return pool.NodeStartupTimeout() }

// extendBefore is how long before its expiry a token is extended: with the default, one write every ten minutes. The expiry
// is by the manager's clock, and the API server's decides: a token stays good as long as that one is not ahead by this much.
func extendBefore(pool *v1alpha1.NodePool) time.Duration { return tokenLifetime(pool) / 3 }

// token is a join token as the manager knows it.
type token struct {
	id, secret string
	machine    types.NamespacedName
	machineUID types.UID
	expires    time.Time
	// published: the bootstrap Secret is known to have this token.
	published bool
	// facts is the hash of the facts of the cluster in that Secret.
	facts string
}

// String is the token as a client presents it. Secret.
func (t *token) String() string { return t.id + "." + t.secret }

// secretName is the name of the token's Secret.
func secretName(id string) string { return bootstrapapi.BootstrapTokenSecretPrefix + id }

// tokenID derives a token's ID from its Machine's UID, so that a manager that died after making the token finds it
// again. The ID is no secret.
func tokenID(uid types.UID, attempt int) string {
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", uid, attempt))
	id := make([]byte, bootstrapapi.BootstrapTokenIDBytes)
	for i := range id {
		id[i] = alphabet[int(sum[i])%len(alphabet)]
	}
	return string(id)
}

// newTokenSecret is the part of a token after the dot, random.
func newTokenSecret() (string, error) {
	generated, err := bootstraputil.GenerateBootstrapToken()
	if err != nil {
		return "", fmt.Errorf("make a join token: %w", err)
	}
	_, secret, _ := strings.Cut(generated, ".")
	return secret, nil
}

// asSecret is the Secret by which the API server knows the token.
func (t *token) asSecret(machine *clusterv1.Machine) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: tokenNamespace,
			Name:      secretName(t.id),
			Labels: map[string]string{
				v1alpha1.MachineUIDLabel:    string(machine.UID),
				v1alpha1.PoolUIDLabel:       machine.Labels[v1alpha1.PoolUIDLabel],
				v1alpha1.PoolNamespaceLabel: machine.Namespace,
			},
			Annotations: map[string]string{clusterv1.MachineAnnotation: machine.Name},
		},
		Type: bootstrapapi.SecretTypeBootstrapToken,
		Data: map[string][]byte{
			bootstrapapi.BootstrapTokenIDKey:               []byte(t.id),
			bootstrapapi.BootstrapTokenSecretKey:           []byte(t.secret),
			bootstrapapi.BootstrapTokenExpirationKey:       []byte(expiration(t.expires)),
			bootstrapapi.BootstrapTokenUsageAuthentication: []byte("true"),
			bootstrapapi.BootstrapTokenExtraGroupsKey:      []byte(v1alpha1.BootstrapGroup),
			bootstrapapi.BootstrapTokenDescriptionKey: fmt.Appendf(nil,
				"Drover: lets the agent of Machine %s/%s ask for its first certificate", machine.Namespace, machine.Name),
		},
	}
}

// readToken is the token in a Secret of ours.
func readToken(secret *corev1.Secret) *token {
	expires, err := time.Parse(time.RFC3339, string(secret.Data[bootstrapapi.BootstrapTokenExpirationKey]))
	if err != nil {
		expires = time.Time{} // Unreadable counts as expired: it is extended at once.
	}
	return &token{
		id:         string(secret.Data[bootstrapapi.BootstrapTokenIDKey]),
		secret:     string(secret.Data[bootstrapapi.BootstrapTokenSecretKey]),
		machine:    tokenMachine(secret),
		machineUID: types.UID(secret.Labels[v1alpha1.MachineUIDLabel]),
		expires:    expires,
	}
}

// tokenMachine is the Machine that a token Secret names.
func tokenMachine(secret *corev1.Secret) types.NamespacedName {
	return types.NamespacedName{
		Namespace: secret.Labels[v1alpha1.PoolNamespaceLabel],
		Name:      secret.Annotations[clusterv1.MachineAnnotation],
	}
}

func expiration(t time.Time) string { return t.UTC().Format(time.RFC3339) }
