package binaries

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// fakeRelease is a module with the name and the layout of Kubernetes that
// compiles in a moment; its kubectl prints the version it was built as.
func fakeRelease(t *testing.T, main string) release {
	t.Helper()
	module := t.TempDir()
	for path, content := range map[string]string{
		"go.mod": "module k8s.io/kubernetes\n\ngo 1.26.0\n\nrequire k8s.io/component-base v0.0.0\n\n" +
			"replace k8s.io/component-base => ./component-base\n",
		"component-base/go.mod":          "module k8s.io/component-base\n",
		"component-base/version/base.go": "package version\n\nvar gitVersion, gitMajor, gitMinor string\n\nfunc Get() string { return gitVersion + \" \" + gitMajor + \" \" + gitMinor }\n",
		"cmd/kubectl/main.go":            main,
	} {
		path = filepath.Join(module, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return release{module: module, version: "v1.99.7", cache: filepath.Join(t.TempDir(), "cache")}
}

const goodMain = "package main\n\nimport \"k8s.io/component-base/version\"\n\nfunc main() { print(version.Get()) }\n"

func TestParallelBuildsCompileOnceAndNameTheRelease(t *testing.T) {
	r := fakeRelease(t, goodMain)
	var progress [3]bytes.Buffer
	var group sync.WaitGroup
	for i := range progress {
		group.Go(func() {
			if err := r.buildOnce(t.Context(), "kubectl", &progress[i]); err != nil {
				t.Errorf("build %d: %v", i, err)
			}
		})
	}
	group.Wait()
	var all string
	for i := range progress {
		all += progress[i].String()
	}
	if n := strings.Count(all, "built kubectl v1.99.7 in"); n != 1 {
		t.Errorf("compiled %d times, want once:\n%s", n, all)
	}
	said, err := exec.Command(filepath.Join(r.cache, "kubectl")).CombinedOutput()
	if err != nil || string(said) != "v1.99.7 1 99" {
		t.Errorf("the program says %q, %v", said, err)
	}
}

func TestFailedBuildShowsTheComplaintAndLeavesNoProgram(t *testing.T) {
	r := fakeRelease(t, "package main\n\nfunc main() { undefinedThing() }\n")
	err := r.buildOnce(t.Context(), "kubectl", &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "undefined: undefinedThing") {
		t.Errorf("got %v, want the compiler's complaint", err)
	}
	left, err := filepath.Glob(filepath.Join(r.cache, "kubectl*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBuildReplacesWhatAKilledBuildLeft(t *testing.T) {
	r := fakeRelease(t, goodMain)
	if err := os.MkdirAll(r.cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.cache, "kubectl.unfinished"), []byte("half"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.buildOnce(t.Context(), "kubectl", &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(filepath.Join(r.cache, "kubectl")).CombinedOutput(); err != nil {
		t.Errorf("%q, %v", said, err)
	}
}

func TestWaitingForAnotherBuildIsShownAndCanBeCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, "kubectl", &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	progress := writerFunc(func(p []byte) { cancel() })
	if _, err := lock(ctx, path, "kubelet", progress); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	unlock()
	second, err := lock(t.Context(), path, "kubelet", &bytes.Buffer{})
	if err != nil {
		t.Fatalf("the lock was not given back: %v", err)
	}
	second()
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestBuildRefusesWhatItDoesNotKnow(t *testing.T) {
	if _, err := Build(t.Context(), "kubeadm", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("got %v, want an error that lists what there is", err)
	}
}

func TestModuleNamesOneReleaseEverywhere(t *testing.T) {
	r, err := findRelease()
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile(filepath.Join(r.module, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	replaced := regexp.MustCompile(`(?m)^\tk8s\.io/[\w-]+ => k8s\.io/[\w-]+ (\S+)$`).FindAllStringSubmatch(string(gomod), -1)
	if len(replaced) < 30 {
		t.Errorf("only %d staging modules are replaced", len(replaced))
	}
	want := "v0" + strings.TrimPrefix(r.version, "v1")
	for _, line := range replaced {
		if line[1] != want {
			t.Errorf("%s: want %s", strings.TrimSpace(line[0]), want)
		}
	}
}

func TestProgressTellsPackagesFromComplaints(t *testing.T) {
	out := &buildOutput{}
	for _, chunk := range []string{"k8s.io/api/core/v1\nk8s.io/a", "pi/apps/v1\nx.go:3:2: undefined: y\ngo: downloading a v1\n"} {
		if _, err := out.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.String(), "2 packages compiled, last downloading a v1"; got != want {
		t.Errorf("progress %q, want %q", got, want)
	}
	if got, want := out.complaints(), "x.go:3:2: undefined: y"; got != want {
		t.Errorf("complaints %q, want %q", got, want)
	}
}
