package join

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/lookup"
)

// publish makes sure that a Machine's token exists and that its bootstrap Secret has it.
func (r *TokenReconciler) publish(ctx context.Context, machine *clusterv1.Machine, pool *v1alpha1.NodePool, t *token) (*token, error) {
	name := types.NamespacedName{Namespace: machine.Namespace, Name: machine.Name + v1alpha1.BootstrapSecretSuffix}
	existing, err := lookup.GetOrNil(ctx, r.Management.Live, name, &corev1.Secret{})
	if err != nil {
		return nil, err
	}
	if existing != nil && !ownedBy(existing, machine) {
		return nil, fmt.Errorf("the Secret %s %w", name, errNotOurs)
	}
	spec, err := r.specOf(ctx, machine)
	if err != nil {
		return nil, err
	}
	if t == nil {
		if t, err = r.makeToken(ctx, machine, pool, existing); err != nil {
			return nil, err
		}
		r.book.put(t)
	}
	t.facts = clusterOf(existing).Hash()
	if existing == nil || bootstrapToken(existing) != t.String() {
		if err := r.writeBootstrap(ctx, machine, pool, spec, existing, t); err != nil {
			return nil, err
		}
		t.facts = spec.Cluster.Hash()
	}
	t.published = true
	return t, nil
}

// refresh brings the facts of the cluster in a bootstrap Secret up to date: a machine may wait for its server for long. The rest
// stays as it was written, as some of it is compared with what became of it.
func (r *TokenReconciler) refresh(ctx context.Context, machine *clusterv1.Machine, t *token) error {
	facts, err := r.Facts.Discover(ctx)
	if err != nil || facts.Hash() == t.facts {
		return nil //nolint:nilerr // it keeps what it has
	}
	name := types.NamespacedName{Namespace: machine.Namespace, Name: machine.Name + v1alpha1.BootstrapSecretSuffix}
	secret, err := lookup.GetOrNil(ctx, r.Management.Live, name, &corev1.Secret{})
	if err != nil || secret == nil || !ownedBy(secret, machine) {
		return err
	}
	bootstrap := &node.Bootstrap{}
	if err := json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], bootstrap); err != nil {
		return nil //nolint:nilerr // its provider says so
	}
	bootstrap.Spec.Cluster = facts
	renewed, err := newBootstrapSecret(machine, bootstrap)
	if err != nil {
		return err
	}
	patch := client.MergeFrom(secret.DeepCopy())
	secret.Data = renewed.Data
	if err := r.Management.Patch(ctx, secret, patch); err != nil {
		return fmt.Errorf("write other facts of the cluster to the bootstrap Secret of Machine %s: %w", t.machine, err)
	}
	t.facts = facts.Hash()
	ctrl.LoggerFrom(ctx).Info("Wrote other facts of the cluster to the bootstrap Secret", "facts", t.facts)
	if r.Published != nil {
		r.Published(t.machine)
	}
	return nil
}

// clusterOf are the facts of the cluster in a bootstrap Secret; none where there is no Secret.
func clusterOf(secret *corev1.Secret) v1alpha1.ClusterSettings {
	bootstrap := &node.Bootstrap{}
	if secret == nil || json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], bootstrap) != nil {
		return v1alpha1.ClusterSettings{}
	}
	return bootstrap.Spec.Cluster
}

// makeToken creates the token's Secret, or adopts the one that an earlier manager made for this Machine.
func (r *TokenReconciler) makeToken(ctx context.Context, machine *clusterv1.Machine, pool *v1alpha1.NodePool, bootstrap *corev1.Secret) (*token, error) {
	t := &token{machine: client.ObjectKeyFromObject(machine), machineUID: machine.UID, expires: r.Clock.Now().Add(tokenLifetime(pool))}
	id, secret, preset := presetToken(bootstrap, machine)
	for attempt := range tokenAttempts {
		t.id, t.secret = tokenID(machine.UID, attempt), secret
		if preset && t.id != id {
			continue
		}
		if !preset {
			var err error
			if t.secret, err = newTokenSecret(); err != nil {
				return nil, err
			}
		}
		err := r.Workload.Create(ctx, t.asSecret(machine))
		if err == nil {
			ctrl.LoggerFrom(ctx).Info("Made a join token", "expires", expiration(t.expires))
			return t, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("create the join token of Machine %s: %w", t.machine, err)
		}
		adopted, err := r.adoptToken(ctx, machine, t.id)
		if adopted != nil || err != nil {
			return adopted, err
		}
		preset = false // Somebody else has that ID: take the next one, and tell the machine.
	}
	return nil, fmt.Errorf("make a join token for Machine %s: all of %d IDs are taken in %s: delete the bootstrap tokens that nobody needs",
		t.machine, tokenAttempts, tokenNamespace)
}

// adoptToken is the token with that ID when it is this Machine's, and nil when it is somebody else's.
func (r *TokenReconciler) adoptToken(ctx context.Context, machine *clusterv1.Machine, id string) (*token, error) {
	secret, err := lookup.GetOrNil(ctx, r.Workload.Live, types.NamespacedName{Namespace: tokenNamespace, Name: secretName(id)}, &corev1.Secret{})
	if err != nil || secret == nil || secret.Labels[v1alpha1.MachineUIDLabel] != string(machine.UID) {
		return nil, err
	}
	return readToken(secret), nil
}

func (r *TokenReconciler) writeBootstrap(ctx context.Context, machine *clusterv1.Machine, pool *v1alpha1.NodePool,
	spec v1alpha1.NodeAgentSpec, existing *corev1.Secret, t *token,
) error {
	secret, err := newBootstrapSecret(machine, newBootstrap(machine, pool, spec, t))
	if err != nil {
		return err
	}
	if existing == nil {
		err = r.Management.Create(ctx, secret)
	} else {
		patch := client.MergeFrom(existing.DeepCopy())
		existing.Data = secret.Data
		err = r.Management.Patch(ctx, existing, patch)
	}
	if err != nil {
		return fmt.Errorf("write the bootstrap Secret of Machine %s: %w", t.machine, err)
	}
	if r.Published != nil {
		r.Published(t.machine)
	}
	return nil
}

// specOf is what a Machine's node is to run when it joins: what the Machine was made from, in the cluster as it is now.
func (r *TokenReconciler) specOf(ctx context.Context, machine *clusterv1.Machine) (v1alpha1.NodeAgentSpec, error) {
	revision, err := r.revisionOf(ctx, machine)
	if err != nil {
		return v1alpha1.NodeAgentSpec{}, err
	}
	cluster, err := r.Facts.Discover(ctx)
	if err != nil {
		return v1alpha1.NodeAgentSpec{}, fmt.Errorf("find out what Machine %s must know about this cluster: %w: %w", machine.Name, errNoFacts, err)
	}
	return desired.SpecOf(ctx, r.Management, revision, cluster)
}

// revisionOf reads the ControllerRevision that a Machine was made from.
func (r *TokenReconciler) revisionOf(ctx context.Context, machine *clusterv1.Machine) (*appsv1.ControllerRevision, error) {
	revision, err := lookup.RevisionOf(ctx, r.Management, r.Management.Live, lookup.RevisionName(machine))
	if revision != nil || err != nil {
		return revision, err
	}
	return nil, fmt.Errorf("no ControllerRevision %s, which Machine %s was made from: delete the Machine", lookup.RevisionName(machine), machine.Name)
}

// extend keeps a token from expiring. The same write remembers the key that the token was used for, long before the
// request that has it is garbage-collected an hour after its approval.
func (r *TokenReconciler) extend(ctx context.Context, pool *v1alpha1.NodePool, t *token) error {
	expires := r.Clock.Now().Add(tokenLifetime(pool))
	change := map[string]any{"data": map[string][]byte{bootstrapapi.BootstrapTokenExpirationKey: []byte(expiration(expires))}}
	keys, err := approvedKeys(ctx, r.Workload, t.id)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		change["metadata"] = map[string]any{"annotations": map[string]string{approvedKeyAnnotation: keys[0]}}
	}
	body, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = tokenNamespace, secretName(t.id)
	err = r.Workload.Patch(ctx, secret, client.RawPatch(types.MergePatchType, body))
	if apierrors.IsNotFound(err) {
		r.book.forget(t.machine) // The next pass makes the token that the bootstrap Secret promises.
		return fmt.Errorf("extend the join token of Machine %s: somebody deleted it; it is made again: %w", t.machine, err)
	}
	if err != nil {
		return fmt.Errorf("extend the join token of Machine %s: %w", t.machine, err)
	}
	t.expires = expires
	r.book.put(t)
	ctrl.LoggerFrom(ctx).Info("Extended the join token", "expires", expiration(expires))
	return nil
}

// approvedKeys are the hashes of the public keys of the approved requests that were made with a token.
func approvedKeys(ctx context.Context, reader client.Reader, id string) ([]string, error) {
	requests := &certificatesv1.CertificateSigningRequestList{}
	if err := reader.List(ctx, requests, client.MatchingFields{requesterField: bootstrapapi.BootstrapUserPrefix + id}); err != nil {
		return nil, fmt.Errorf("list the certificate requests of token %s: %w", id, err)
	}
	var keys []string
	for i := range requests.Items {
		if !isApproved(&requests.Items[i]) {
			continue
		}
		if parsed, err := parseRequest(&requests.Items[i]); err == nil {
			keys = append(keys, parsed.keyHash)
		}
	}
	return keys, nil
}
