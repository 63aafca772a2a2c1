package host

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/controllers/infra"
)

// passwordKey is the entry of a Secret that has sudo's password.
const passwordKey = "password"

// login reads the Host's Secrets, each by its name, and logs in.
func (s *Servers) login(ctx context.Context, h *v1alpha1.Host) (*server, error) {
	ctx, cancel := context.WithTimeout(ctx, infra.ReconcileTimeout)
	defer cancel()
	target, err := s.target(ctx, h)
	if err != nil {
		return nil, err
	}
	connection, err := remote.Dial(ctx, target)
	if err != nil {
		return nil, err
	}
	return &server{Connection: connection, agents: s.agents, dir: s.dir(), steps: s.steps.orDefaults()}, nil
}

func (s *Servers) target(ctx context.Context, h *v1alpha1.Host) (remote.Target, error) {
	target, err := s.access(ctx, h.Namespace, h.Spec.SSHAccess)
	if err != nil {
		return target, err
	}
	target.HTTPProxy = h.Spec.HTTPProxy
	if ptr.Deref(h.Spec.TrustOnFirstUse, false) {
		target.TrustOnFirstUse = true
		if pinned := h.Annotations[v1alpha1.HostKeyAnnotation]; pinned != "" {
			target.TrustOnFirstUse, target.HostKeys = false, []string{pinned}
		}
	}
	if h.Spec.Privilege == v1alpha1.HostPrivilegeSudo {
		target.Privilege = remote.Sudo
		if ref := h.Spec.SudoPasswordSecretRef; ref != nil {
			secret, err := s.secret(ctx, h.Namespace, ref.Name)
			if err != nil {
				return target, err
			}
			password, there := secret.Data[passwordKey]
			if !there {
				return target, unusable(fmt.Sprintf("The Secret %s has no entry %q for sudo.", ref.Name, passwordKey))
			}
			target.SudoPassword = strings.TrimRight(string(password), "\r\n")
		}
	}
	if jump := h.Spec.JumpHost; jump != nil {
		through, err := s.access(ctx, h.Namespace, jump.SSHAccess)
		if err != nil {
			return target, err
		}
		target.Jump = &through
	}
	return target, nil
}

func (s *Servers) access(ctx context.Context, namespace string, a v1alpha1.SSHAccess) (remote.Target, error) {
	target := remote.Target{Address: a.Address, Port: int(a.Port), User: a.User, HostKeys: a.HostKeys,
		HostCertificateAuthorities: a.HostCertificateAuthorities, Privilege: remote.Root, Limits: s.limits}
	secret, err := s.secret(ctx, namespace, a.KeySecretRef.Name)
	if err != nil {
		return target, err
	}
	if target.Signers, err = remote.ParseKeys(secret.Data); err != nil {
		return target, unusable(fmt.Sprintf("The Secret %s: %v.", secret.Name, err))
	}
	return target, nil
}

func (s *Servers) secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.APIReader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, unusable(fmt.Sprintf("There is no Secret %s in the namespace: apply it (again); a server cannot be released without its keys either.", name))
	}
	if apierrors.IsForbidden(err) {
		return nil, &infra.Problem{Reason: v1alpha1.ReasonSecretForbidden, Message: v1alpha1.SecretsForbidden(namespace, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("read the Secret %s: %w", name, err)
	}
	return secret, nil
}

func unusable(message string) error {
	return &infra.Problem{Reason: v1alpha1.ReasonKeySecretUnusable, Message: message}
}
