package network

import (
	"errors"
	"slices"
)

// syncRoutes makes the routes those wanted, and returns those that it made or found and those that cannot be made because
// of where the other node is. That is nothing this node could mend, and no reason to call it ill: a control plane in
// another subnet, or a single wrong InternalIP, would make every node of the cluster unhealthy.
func syncRoutes(kernel RouteTable, want []Route) (made, unreachable []Route, err error) {
	have, err := kernel.Routes()
	if err != nil {
		return nil, nil, err
	}
	add, remove := diffRoutes(have, want)
	var errs []error
	for _, r := range remove {
		errs = append(errs, kernel.RemoveRoute(r))
	}
	for _, r := range want {
		if slices.Contains(add, r) {
			if err := kernel.AddRoute(r); errors.Is(err, ErrUnreachable) {
				unreachable = append(unreachable, r)
				continue
			} else if err != nil {
				errs = append(errs, err)
			}
		}
		made = append(made, r)
	}
	return made, unreachable, errors.Join(errs...)
}
