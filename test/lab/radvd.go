package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Advertise has the host send router advertisements on a link by radvd, for a daemon that does
// not do so itself.
func (h *Host) Advertise(ctx context.Context, device string) error {
	if err := need("radvd"); err != nil {
		return err
	}
	file := filepath.Join(h.dir, "radvd.conf")
	if err := os.WriteFile(file, []byte("interface "+device+" { AdvSendAdvert on; };\n"), 0o600); err != nil {
		return fmt.Errorf("writing the configuration of radvd on %s: %w", h.name, err)
	}
	_, err := h.Start(ctx, "radvd", "radvd", "--nodaemon", "--logmethod", "stderr", "--config", file, "--pidfile", filepath.Join(h.dir, "radvd.pid"))
	return err
}
