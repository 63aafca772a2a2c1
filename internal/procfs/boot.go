package procfs

import (
	"fmt"
	"os"
	"strings"
)

// BootID is a UUID that the kernel has for each boot (random(4)). Machines that share a kernel share it.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the kernel's boot ID: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
