package schema

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/controlplane/binaries"
)

var update = flag.Bool("update", false, "rewrite the golden files; read the difference before you commit it")

// What a person reads who asks kubectl about a field comes from the comments on the Go
// types, on a way through the CRD and the server. This shows all of it.
func TestKubectlExplainsTheTimersOfAPeer(t *testing.T) {
	kubectl, err := binaries.Build(t.Context(), "kubectl", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cp := controlplane.Start(t, controlplane.Options{})
	if err := cp.ApplyCRDs(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
	got := explained(t, kubectl, cp.Kubeconfig(), "bgppeer.spec.timers")
	golden := filepath.Join("testdata", "explain-bgppeer.spec.timers.txt")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, golden); !bytes.Equal(got, want) {
		t.Errorf("kubectl explain says\n%s\nwant\n%s\nrun the test with -update if it reads well", got, want)
	}
}

// explained asks until there is an answer: the server describes a new kind a little later
// than it serves it.
func explained(t *testing.T, kubectl, kubeconfig, field string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		out, last := explain(ctx, kubectl, kubeconfig, field, t.TempDir())
		if last == nil {
			return out
		}
		select {
		case <-ctx.Done():
			t.Fatalf("kubectl explain %s: %v", field, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// explain asks once; cache is a fresh folder, so that the answer is the server's.
func explain(ctx context.Context, kubectl, kubeconfig, field, cache string) ([]byte, error) {
	command := exec.CommandContext(ctx, kubectl, "--kubeconfig", kubeconfig, "explain", field)
	command.Env = append(os.Environ(), "KUBECACHEDIR="+cache)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return out, nil
}
