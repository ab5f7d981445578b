// Package binaries builds the Kubernetes programs that tests run, each once per
// machine.
//
// It keeps these true: what Build returns is complete and of the release that
// test/controlplane/kubernetes/go.mod names; a program is never built twice for
// the same go.mod, however many test processes ask at the same time; and a build
// that was killed leaves nothing behind that a later one would take for whole.
package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Names are the programs that Build knows.
var Names = []string{
	"kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet",
}

// moduleDir is where the module with the release's go.mod lies, below the
// project's root.
var moduleDir = filepath.Join("test", "controlplane", "kubernetes")

// release is one version of Kubernetes and the folder that holds its programs.
type release struct {
	module  string // folder of its go.mod
	version string // v1.36.3
	cache   string // folder of the built programs
}

// Build returns the path of the program called name, one of Names, and builds
// it first where the cache does not hold it. That takes minutes the first time;
// lines on how far it is go to progress. The cache is the folder that
// FAIRWAY_CACHE names, or fairway in the user's cache folder.
func Build(ctx context.Context, name string, progress io.Writer) (string, error) {
	if !slices.Contains(Names, name) {
		return "", fmt.Errorf("building %q: unknown program, want one of %s", name, strings.Join(Names, ", "))
	}
	r, err := findRelease()
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	path := filepath.Join(r.cache, name)
	if isProgram(path) {
		return path, nil
	}
	if err := r.buildOnce(ctx, name, progress); err != nil {
		return "", fmt.Errorf("building %s %s: %w", name, r.version, err)
	}
	return path, nil
}

// Version is the release that Build builds, such as v1.36.3.
func Version() (string, error) {
	r, err := findRelease()
	return r.version, err
}

// buildOnce builds name unless another process does so first.
func (r release) buildOnce(ctx context.Context, name string, progress io.Writer) error {
	if err := os.MkdirAll(r.cache, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(r.cache, "lock"), name, progress)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(r.cache, name)
	if isProgram(path) {
		return nil
	}
	// The lock is ours, so whatever has this name was left by a build that died;
	// the compiler would refuse to write over it.
	unfinished := path + ".unfinished"
	if err := removeIfThere(unfinished); err != nil {
		return err
	}
	if err := r.compile(ctx, name, unfinished, progress); err != nil {
		return errors.Join(err, removeIfThere(unfinished))
	}
	return os.Rename(unfinished, path)
}

func findRelease() (release, error) {
	module, err := findModule()
	if err != nil {
		return release{}, err
	}
	gomod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return release{}, err
	}
	found := requirement.FindSubmatch(gomod)
	if found == nil {
		return release{}, fmt.Errorf("%s does not require k8s.io/kubernetes", filepath.Join(module, "go.mod"))
	}
	base, err := cacheBase()
	if err != nil {
		return release{}, err
	}
	r := release{module: module, version: string(found[1])}
	r.cache = filepath.Join(base, "kubernetes-"+r.version+"-"+fingerprint(gomod))
	return r, nil
}

var requirement = regexp.MustCompile(`(?m)^(?:require)?\s+k8s\.io/kubernetes (v1\.\d+\.\d+)\b`)

// fingerprint tells builds apart that must not share a folder.
func fingerprint(gomod []byte) string {
	sum := sha256.New()
	sum.Write(gomod)
	fmt.Fprint(sum, runtime.GOOS, "/", runtime.GOARCH)
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

func cacheBase() (string, error) {
	if dir := os.Getenv("FAIRWAY_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w; set FAIRWAY_CACHE to a folder that can hold 1 GB", err)
	}
	return filepath.Join(dir, "fairway"), nil
}

// findModule looks upwards from the working directory, which is right for
// `go test` and `go run`, and then from where this file was compiled, which is
// right for a test binary that was started elsewhere.
func findModule() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			candidate := filepath.Join(dir, moduleDir)
			if _, err := os.Stat(filepath.Join(candidate, "go.mod")); err == nil {
				return candidate, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("no %s above %s; run this inside the project's tree", moduleDir, strings.Join(starts, " or "))
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
