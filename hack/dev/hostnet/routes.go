package hostnet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/drover-dev/drover/agent/network"
)

// Routes are the routes that Drover made to pods in a range, as ip(8) writes them.
func Routes(pods string) ([]string, error) {
	var lines []string
	err := eachRoute(pods, func(_ network.Kernel, route network.Route) error {
		lines = append(lines, route.String())
		return nil
	})
	return lines, err
}

// RemoveRoutes removes them. The program that made them does so itself unless it is killed.
func RemoveRoutes(pods string) error {
	return eachRoute(pods, func(kernel network.Kernel, route network.Route) error { return kernel.RemoveRoute(route) })
}

func eachRoute(pods string, do func(network.Kernel, network.Route) error) error {
	within, err := netip.ParsePrefix(pods)
	if err != nil {
		return fmt.Errorf("look for routes to pods: %w", err)
	}
	kernel := network.NewKernel()
	routes, err := kernel.Routes()
	for _, route := range routes {
		if within.Contains(route.Destination.Addr()) {
			err = errors.Join(err, do(kernel, route))
		}
	}
	return err
}
