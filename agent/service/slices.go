package service

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// StopPodSlices has systemd forget the slices that the kubelet made for its pods, and their scopes. They are transient: they
// go with the kubelet's own cgroups, but systemd keeps them until it is told. Without systemd there are none.
func StopPodSlices(ctx context.Context) error {
	if !booted("") {
		return nil
	}
	out, err := exec.CommandContext(ctx, "systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=slice", "kubepods*").Output()
	if err != nil {
		return fmt.Errorf("list the pods' slices: %w", err)
	}
	var slices []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			slices = append(slices, fields[0])
		}
	}
	if len(slices) == 0 {
		return nil
	}
	return systemctl(ctx, append([]string{"stop"}, slices...)...)
}
