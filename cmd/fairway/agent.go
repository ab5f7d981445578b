package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/fairway-bgp/fairway/bgp/gobgp"
	"github.com/fairway-bgp/fairway/controller"
	"github.com/fairway-bgp/fairway/controller/admin"
	"github.com/fairway-bgp/fairway/controller/probe"
	"github.com/fairway-bgp/fairway/routes/host"
	"github.com/fairway-bgp/fairway/routes/netlink"
	"github.com/fairway-bgp/fairway/routes/nft"
)

// agentFlags are the flags of `fairway agent`.
type agentFlags struct {
	processFlags

	source        string
	nodeName      string
	stateDir      string
	writeStatus   bool
	events        bool
	routeProtocol int
	setSysctls    bool
	grpcAddress   string
	grpcWritable  bool

	child bool
}

func agentCommand() *cobra.Command {
	f := &agentFlags{}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the per-node agent",
		Long: `Run the per-node agent. A small parent process starts the agent proper and starts it
again after a crash. SIGTERM leaves the kernel's routes in place.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", "", "where the configuration comes from: 'kube', or 'dir:PATH' for a folder of manifests (required)")
	flags.StringVar(&f.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file for --source=kube; empty: the pod's service account")
	flags.StringVar(&f.nodeName, "node-name", os.Getenv("NODE_NAME"), "name of this machine's Node (default $NODE_NAME)")
	flags.StringVar(&f.namespace, "namespace", envOr("POD_NAMESPACE", "fairway-system"), "namespace of the Secrets with passwords (default $POD_NAMESPACE)")
	flags.StringVar(&f.stateDir, "state-dir", "/var/lib/fairway", "folder for what outlives the agent: which sessions were up, what was announced and which peers may crash the speaker; with --source=dir last good copies and status")
	flags.BoolVar(&f.writeStatus, "write-status", true, "write this node's BGPNodeState (--source=kube)")
	flags.BoolVar(&f.events, "events", true, "publish Events about sessions, objects and prefixes (--source=kube)")
	flags.IntVar(&f.routeProtocol, "route-protocol", netlink.DefaultProtocol, "rtnetlink protocol number that marks our kernel routes, 5 to 255; those of rtnetlink.h and FRR are refused")
	flags.BoolVar(&f.setSysctls, "set-sysctls", false, "set the kernel's forwarding and multipath settings as they should be, and keep them so (needs a writable /proc/sys)")
	flags.StringVar(&f.grpcAddress, "grpc-address", "127.0.0.1:50051", "where GoBGP's gRPC API listens, for the gobgp client: host:port or unix:///path; empty: nowhere")
	flags.BoolVar(&f.grpcWritable, "grpc-writable", false, "let gRPC clients change the speaker; such changes are not kept")
	f.add(cmd, "127.0.0.1:9479")
	flags.BoolVar(&f.child, "child", false, "run the agent proper, without the parent")
	_ = flags.MarkHidden("child")
	return cmd
}

func (f *agentFlags) run(ctx context.Context) error {
	log, err := f.logger()
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	if f.child {
		return f.runAgent(ctx, log)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program's own file: %w", err)
	}
	status, err := supervise(ctx, slices.Concat([]string{self}, os.Args[1:], []string{"--child"}), log.With("process", "parent"))
	if err == nil && status != exitOK {
		return exitStatus(status)
	}
	return err
}

// check finds what is wrong with the flags before anything is started.
func (f *agentFlags) check() error {
	if f.source == "" {
		return errors.New("--source is required: 'kube', or 'dir:PATH' for a folder of manifests")
	}
	if path, isDir := strings.CutPrefix(f.source, "dir:"); f.source != "kube" && (!isDir || path == "") {
		return fmt.Errorf("--source %q: use 'kube', or 'dir:PATH' for a folder of manifests", f.source)
	}
	if f.nodeName == "" {
		return errors.New("--node-name is required: the name of this machine's Node (a pod gets it from spec.nodeName through $NODE_NAME)")
	}
	if err := netlink.ValidateProtocol(f.routeProtocol); err != nil {
		return fmt.Errorf("--route-protocol: %w", err)
	}
	return nil
}

// runAgent wires the tasks of the agent proper and runs them until ctx ends or one fails.
func (f *agentFlags) runAgent(ctx context.Context, log *slog.Logger) error {
	memory := newThrift()
	klog.SetSlogLogger(slog.New(quieter{log.With("component", "client-go").Handler()}))
	if err := netlink.CheckPermission(); err != nil {
		return err
	}
	src, err := f.openSource(log)
	if err != nil {
		return err
	}
	kernel, err := openKernel(uint8(f.routeProtocol), log.With("component", "kernel"))
	if err != nil {
		return err
	}
	kernel.sysctls = sysctls{set: f.setSysctls, log: log.With("component", "kernel")}
	inherited, err := kernel.fib.Dump(ctx)
	if err != nil {
		return fmt.Errorf("reading the kernel's routes: %w", err)
	}
	listener, err := f.listenHTTP(ctx)
	if err != nil {
		return err
	}
	speaker, err := gobgp.New(gobgp.Options{
		Log:          log,
		GRPCAddress:  f.grpcAddress,
		GRPCWritable: f.grpcWritable,
		Restarting:   len(inherited) > 0,
	})
	if err != nil {
		return fmt.Errorf("--grpc-address: %w", err)
	}
	log.Info("starting", "version", version, "node", f.nodeName, "source", f.source, "inherited_routes", len(inherited))
	web := admin.New(time.Now)
	refuser := controller.NewRefuser(nft.Filter{}, log.With("component", "filter"))
	forwarder := controller.NewForwarder(speaker, kernel.table, kernel, log.With("component", "routes"))
	prober := probe.New()
	kept := openMemory(f.stateDir, host.BootID, log)
	loop := controller.NewLoop(controller.Options{
		Node:      f.nodeName,
		Version:   version,
		Source:    src.source,
		Host:      kernel,
		Speaker:   speaker,
		Forwarder: forwarder,
		Refuser:   refuser,
		Reporters: append(src.reporters, web, memory),
		Log:       log.With("component", "loop"),
		Now:       time.Now,
		Prober:    prober,
		Sessions:  kept.sessions,
		Announced: kept.announced,
		Trials:    kept.trials,
		Crashed:   crashedBefore(log),
	})
	group, ctx := errgroup.WithContext(ctx)
	tasks := []task{memory.Run, kernel.Run, kernel.lookAgain, kernel.routers.Run, speaker.Run, loop.Run, forwarder.Run, prober.Run, refuser.Run}
	if listener != nil {
		tasks = append(tasks, func(ctx context.Context) error { return web.Serve(ctx, listener) })
	}
	for _, task := range slices.Concat(src.tasks, tasks) {
		group.Go(func() error { return task(ctx) })
	}
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("stopping; kernel routes stay in place")
	return nil
}
