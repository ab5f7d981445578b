package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

var build struct {
	once sync.Once
	path string
	err  error
}

// Binary is the path of the built agent, cmd/fairway as of now, or what
// FAIRWAY_BIN in the environment names.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Build is Binary outside of tests. The first call of a process builds.
func Build(ctx context.Context) (string, error) {
	if path := os.Getenv("FAIRWAY_BIN"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("FAIRWAY_BIN: %w", err)
		}
		return filepath.Abs(path)
	}
	build.once.Do(func() { build.path, build.err = compile(ctx, "./cmd/fairway") })
	return build.path, build.err
}

// compile builds one of the project's commands into the user's cache, where the
// next test finds it up to date, and returns its path. Statically, as the image
// has it, and never with the race detector, which would disturb what is measured.
func compile(ctx context.Context, pkg string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a place for the binary (or set FAIRWAY_BIN to one): %w", err)
	}
	// A folder for each checkout of the project.
	dir := filepath.Join(cache, "fairway-test", fmt.Sprintf("%x", sha256.Sum256([]byte(root)))[:12])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making a place for the binary: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-race=false", "-o", path, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// lock keeps tests of several packages, which are processes, from building the
// same file at once.
func lock(path string) (unlock func(), err error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("locking the build: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the build: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// moduleRoot is the folder of go.mod above the working directory, which for a
// test is its package's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the project: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory: run this inside the project")
		}
		dir = parent
	}
}
