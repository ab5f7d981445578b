// Command build builds Kubernetes programs for tests ahead of the tests, and
// prints the path of each. Without arguments it builds kube-apiserver.
//
//	go run ./test/controlplane/cmd/build [kube-apiserver] [kubelet] ...
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/fairway-bgp/fairway/test/controlplane/binaries"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	if len(names) == 0 {
		names = []string{"kube-apiserver"}
	}
	if strings.HasPrefix(names[0], "-") {
		return fmt.Errorf("usage: build [PROGRAM]..., with PROGRAM one of %s", strings.Join(binaries.Names, ", "))
	}
	for _, name := range names {
		path, err := binaries.Build(ctx, name, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
