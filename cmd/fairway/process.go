package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/spf13/cobra"
)

// processFlags are the flags that the agent and the controller share.
type processFlags struct {
	kubeconfig  string
	namespace   string
	httpAddress string
	logLevel    string
	logFormat   string
}

// add adds those that mean the same for both; httpAddress is a default.
func (f *processFlags) add(cmd *cobra.Command, httpAddress string) {
	flags := cmd.Flags()
	flags.StringVar(&f.httpAddress, "http-address", httpAddress, "where /livez, /readyz and /metrics listen; empty: nowhere")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
}

func envOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func (f *processFlags) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", f.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return nil, fmt.Errorf("--log-format %q: use text or json", f.logFormat)
}

// listenHTTP opens the port of the probes and metrics; nil when there is to be none.
func (f *processFlags) listenHTTP(ctx context.Context) (net.Listener, error) {
	if f.httpAddress == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.httpAddress)
	if err != nil {
		return nil, fmt.Errorf("--http-address: %w: end what uses the port, or choose another", err)
	}
	return listener, nil
}
