package sim

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/stop"
)

// Edits of the fleet's stop, which somebody throws while he looks into something, and puts back.
var (
	throwStop = stopping("stops the fleet", 1, map[string]string{v1alpha1.StopAnnotation: "a fire"})
	endStop   = stopping("lets the fleet go on", 1, nil)
)

func stopping(name string, odds int, annotations map[string]string) *happening {
	h := edited(name, odds, func(w *world, _ event) { w.annotateStop(annotations) })
	h.whileDeleted = true
	return h
}

func (w *world) annotateStop(annotations map[string]string) {
	edit(w.api, configs, v1alpha1.StopName, func(c *corev1.ConfigMap) { c.Annotations = annotations })
}

func newStop() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.StopName}}
}

// stopSwitch is the one that a manager looks at: in its cache, as in the real one.
func stopSwitch(cached client.Reader) *stop.Switch {
	return &stop.Switch{Reader: cached, Namespace: namespace}
}

func isStop(object client.Object) bool {
	_, thrown := object.GetAnnotations()[v1alpha1.StopAnnotation]
	return thrown
}

// seesStop notes since when a manager's cache shows that the fleet is stopped; zero for not.
func (m *manager) seesStop() {
	object := m.caches[configs].objects.get(v1alpha1.StopName)
	switch {
	case object == nil || !isStop(object):
		m.stopped = time.Time{}
	case m.stopped.IsZero():
		m.stopped = m.world.now
	}
}
