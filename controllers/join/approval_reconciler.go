package join

import (
	"context"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/firstseen"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/sides"
)

// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests/approval,verbs=update
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=signers,resourceNames=kubernetes.io/kube-apiserver-client;kubernetes.io/kube-apiserver-client-kubelet;kubernetes.io/kubelet-serving,verbs=approve
// +kubebuilder:rbac:groups="",namespace=kube-system,resources=secrets,verbs=get
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines,verbs=get;list;watch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodeagents;nodepools,verbs=get;list;watch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=hostmachines;localmachines,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch;update

const (
	// retryTaken is how soon a request is judged anew whose token another one used in the same moment.
	retryTaken = time.Second
	// A request that waits is looked at again when its Machine changes. Should no event come, it is after as long as it has
	// waited, within these bounds: each look costs half a dozen reads.
	leastWait = 10 * time.Second
	mostWait  = 5 * time.Minute
)

// ApprovalReconciler approves or denies the certificate requests of agents and kubelets.
type ApprovalReconciler struct {
	// Management has the pools and Machines. Default: the manager's.
	Management sides.Side
	// Workload has the certificate requests, token Secrets, Nodes and NodeAgents. Token Secrets, and everything before a
	// request is denied, are read live. Default: the manager's.
	Workload sides.Side
	// Recorder tells users which request was denied. Default: the manager's.
	Recorder events.EventRecorder
	// Clock tells how long a token's use has to be remembered. Default: the real one.
	Clock clock.PassiveClock

	keys usedKeys
	// waiting has since when each request, by its name, waits. Each that is in it is looked at again.
	waiting firstseen.Times[string, types.UID]
}

// Reconcile answers one certificate request.
func (r *ApprovalReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	csr, err := lookup.GetOrNil(ctx, r.Workload, req.NamespacedName, &certificatesv1.CertificateSigningRequest{})
	if err != nil {
		return ctrl.Result{}, err
	}
	if csr == nil || !isUndecided(csr) || claimOf(csr) == claimNone {
		r.waiting.Forget(req.Name)
		return ctrl.Result{}, nil
	}
	f, v, err := r.judge(ctx, csr)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("judge certificate request %s: %w", csr.Name, err)
	}
	if v.decision == approve && f.token != nil && !r.keys.claim(f.token.UID, f.request.keyHash, r.Clock.Now()) {
		return ctrl.Result{RequeueAfter: retryTaken}, nil // Another request with this token was faster: judge anew.
	}
	log := ctrl.LoggerFrom(ctx).WithValues("requester", csr.Spec.Username, "signer", csr.Spec.SignerName, "message", v.String())
	switch v.decision {
	case wait:
		log.V(1).Info("Waited with a certificate request")
		now := r.Clock.Now()
		return ctrl.Result{RequeueAfter: min(max(now.Sub(r.waiting.At(csr.Name, csr.UID, now)), leastWait), mostWait)}, nil
	case ignore:
		r.waiting.Forget(csr.Name)
		return ctrl.Result{}, nil
	case approve, deny:
	}
	if err := r.answer(ctx, csr, v); err != nil {
		return ctrl.Result{}, err
	}
	r.waiting.Forget(csr.Name)
	log.Info("Answered a certificate request", "decision", v.decision)
	if v.decision == deny {
		r.tell(f, v)
	}
	return ctrl.Result{}, nil
}

// judge decides by what the cache has and, when that does not lead to an approval, once more by what is true now.
func (r *ApprovalReconciler) judge(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) (*facts, verdict, error) {
	f, err := r.gather(ctx, csr, false)
	if err != nil {
		return nil, verdict{}, err
	}
	if v := decide(f); v.decision == approve {
		return f, v, nil
	}
	if f, err = r.gather(ctx, csr, true); err != nil {
		return nil, verdict{}, err
	}
	return f, decide(f), nil
}

// answer writes the decision through the approval subresource, the only way the API server takes it.
func (r *ApprovalReconciler) answer(ctx context.Context, csr *certificatesv1.CertificateSigningRequest, v verdict) error {
	condition := certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
		Reason: v.reason, Message: v.String(), LastUpdateTime: metav1.NewTime(r.Clock.Now()),
	}
	if v.decision == deny {
		condition.Type = certificatesv1.CertificateDenied
	}
	answered := csr.DeepCopy()
	answered.Status.Conditions = append(answered.Status.Conditions, condition)
	err := r.Workload.SubResource("approval").Update(ctx, answered)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the answer to certificate request %s: %w", csr.Name, err)
	}
	return nil
}

// tell raises an event on the pool and the Machine that a denied request names, as far as they are known.
func (r *ApprovalReconciler) tell(f *facts, v verdict) {
	if f.machine == nil {
		r.Recorder.Eventf(f.csr, nil, corev1.EventTypeWarning, v.reason, "Deny", "%s", v1alpha1.BoundMessage(v.String()))
		return
	}
	r.Recorder.Eventf(f.machine, f.csr, corev1.EventTypeWarning, v.reason, "Deny", "%s", v1alpha1.BoundMessage(v.String()))
	if f.pool != nil {
		note := v1alpha1.BoundMessage(fmt.Sprintf("Machine %s: %s", f.machine.Name, v))
		r.Recorder.Eventf(f.pool, f.machine, corev1.EventTypeWarning, v.reason, "Deny", "%s", note)
	}
}
