package sim

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// nothingLeft: then nothing is left of what is gone: no infrastructure machine, NodeAgent or Node without its Machine.
var nothingLeft = &invariant{name: "nothing-left", settles: (*world).nothingLeft}

// nothingLeft looks for what belongs to no machine.
func (w *world) nothingLeft() error {
	var errs []error
	for _, k := range []kind{infra, agents, nodes} {
		for _, object := range w.api.tables[k] {
			if node, is := object.(*corev1.Node); is && foreign(node) {
				continue
			}
			if w.machine(object.GetName()) == nil && !w.watch.excused[object.GetName()] {
				errs = append(errs, fmt.Errorf("%s %s has no Machine", k, object.GetName()))
			}
		}
	}
	return errors.Join(errs...)
}
