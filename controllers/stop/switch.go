package stop

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
)

// maxReason is how much of the annotation's value is quoted: it is repeated on every pool.
const maxReason = 300

// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=drover-stop,namespace=drover-system,verbs=get;list;watch

// Switch is the one in a namespace. A nil one is never thrown.
type Switch struct {
	// Reader has the ConfigMap: in the manager, its cache, which keeps what it knew while the API server cannot be asked.
	Reader client.Reader
	// Namespace is the manager's own.
	Namespace string
}

// Why is what stops the fleet, as the end of a sentence; empty when nothing does. Only a ConfigMap that is known not to be there, or
// to be without the annotation, does not: where that cannot be found out there is an error, and nobody knows.
func (s *Switch) Why(ctx context.Context) (string, error) {
	if s == nil {
		return "", nil
	}
	name := types.NamespacedName{Namespace: s.Namespace, Name: v1alpha1.StopName}
	object, err := lookup.GetOrNil(ctx, s.Reader, name, &corev1.ConfigMap{})
	if err != nil {
		return "", fmt.Errorf("find out whether the fleet is stopped: %w", err)
	}
	if object == nil {
		return "", nil
	}
	return why(object), nil
}

// Changed lets through what throws the switch, or puts it back, or changes the reason.
func (s *Switch) Changed() predicate.Predicate {
	of := func(object client.Object) string {
		if object.GetNamespace() != s.Namespace || object.GetName() != v1alpha1.StopName {
			return ""
		}
		return why(object)
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return of(e.Object) != "" },
		UpdateFunc: func(e event.UpdateEvent) bool { return of(e.ObjectOld) != of(e.ObjectNew) },
		DeleteFunc: func(e event.DeleteEvent) bool { return of(e.Object) != "" },
	}
}

// why is what an object says, which stops the fleet by the annotation alone, whatever its value.
func why(object client.Object) string {
	reason, thrown := object.GetAnnotations()[v1alpha1.StopAnnotation]
	if !thrown {
		return ""
	}
	words := fmt.Sprintf("the annotation %s of ConfigMap %s/%s stops the fleet", v1alpha1.StopAnnotation, object.GetNamespace(), object.GetName())
	if reason = strings.Join(strings.Fields(reason), " "); reason == "" {
		return words
	}
	return words + ": " + v1alpha1.Shorten(reason, maxReason)
}
