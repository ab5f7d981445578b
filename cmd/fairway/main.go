// Fairway makes a Kubernetes node speak BGP: `fairway agent` advertises the node's pods and
// the cluster's Services, and puts what it learns into the kernel. `fairway controller` sums
// up for the cluster what the agents say.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when the binary is linked.
var version = "dev"

// Exit statuses. The parent starts the agent again after any other one.
const (
	exitOK = 0
	// exitError: the agent said in one line why it cannot go on; trying again would not help.
	exitError = 1
)

func main() {
	// Before anything else: a signal that comes while starting must not look like a crash.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	var status exitStatus
	switch {
	case errors.As(err, &status):
		os.Exit(int(status))
	case err != nil:
		fmt.Fprintln(os.Stderr, "fairway: "+err.Error())
		os.Exit(exitError)
	}
}

// exitStatus is the end of the agent, which has said itself why: the parent's own is the same.
type exitStatus int

// Error implements error.
func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "fairway",
		Short:         "BGP native routing for Kubernetes nodes",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
		Args:          cobra.NoArgs,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(agentCommand(), controllerCommand(), cleanupCommand())
	return root
}
