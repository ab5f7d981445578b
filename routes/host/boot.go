package host

import (
	"fmt"
	"os"
	"strings"
)

// BootID names the running kernel's boot. Its routes do not outlive it.
func BootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot ID: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
