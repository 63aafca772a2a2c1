package image

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// hostMirror is where this host gets its own packages of the suite from.
func hostMirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Codename: "+suite).Output()
	if err != nil {
		return "", fmt.Errorf("find this host's mirror of Debian: %w: name one with --mirror", err)
	}
	return mirrorOf(string(out))
}

// mirrorOf picks the first address from which apt has packages of the suite.
func mirrorOf(targets string) (string, error) {
	lines := strings.Fields(targets)
	i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "://") })
	if i < 0 {
		return "", fmt.Errorf("apt on this host has no source of Debian's %s: name a mirror with --mirror", suite)
	}
	return lines[i], nil
}
