package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/fairway-bgp/fairway/controller/admin"
	"github.com/fairway-bgp/fairway/controller/kube"
)

// controllerFlags are the flags of `fairway controller`.
type controllerFlags struct{ processFlags }

func controllerCommand() *cobra.Command {
	f := &controllerFlags{}
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Sum up what all agents say in the status of the configuration objects",
		Long: `Sum up what all agents say in the status of BGPSpeakers, BGPPeers and BGPAdvertisements.
Of several that run, the one that holds the Lease does it. No agent depends on it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file; empty: the pod's service account")
	flags.StringVar(&f.namespace, "namespace", envOr("POD_NAMESPACE", "fairway-system"), "namespace of the Lease (default $POD_NAMESPACE)")
	f.add(cmd, "127.0.0.1:9480")
	return cmd
}

// run wires the tasks of the controller and runs them until ctx ends or one fails.
func (f *controllerFlags) run(ctx context.Context) error {
	log, err := f.logger()
	if err != nil {
		return err
	}
	klog.SetSlogLogger(slog.New(whisperer{log.With("component", "client-go").Handler()}))
	config, err := kube.Config(f.kubeconfig)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("finding this machine's name: %w", err)
	}
	rollup, err := kube.NewRollup(kube.RollupOptions{
		Config: config, Namespace: f.namespace, Host: host, Version: version, Log: log.With("component", "rollup"),
	})
	if err != nil {
		return err
	}
	listener, err := f.listenHTTP(ctx)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version, "namespace", f.namespace)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return rollup.Run(ctx) })
	if listener != nil {
		web := admin.NewController(rollup.Report)
		group.Go(func() error { return web.Serve(ctx, listener) })
	}
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("stopping")
	return nil
}
