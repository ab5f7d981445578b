package binaries

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tick is how often a long build or a wait for one says that it goes on.
const tick = 10 * time.Second

// compile runs go build for one program, and takes as long as that takes.
func (r release) compile(ctx context.Context, name, out string, progress io.Writer) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("%w; install Go and put it on PATH", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", r.ldflags(), "-o", out, "k8s.io/kubernetes/cmd/"+name)
	cmd.Dir = r.module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	watched := &buildOutput{}
	cmd.Stderr = watched

	start := time.Now()
	fmt.Fprintf(progress, "building %s %s; it takes minutes once and is then kept in %s\n", name, r.version, r.cache)
	stop := every(tick, func() {
		fmt.Fprintf(progress, "building %s: %.0f s, %s\n", name, time.Since(start).Seconds(), watched)
	})
	err := runBoundToParent(cmd)
	stop()
	if err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", r.module, err, watched.complaints())
	}
	fmt.Fprintf(progress, "built %s %s in %.0f s\n", name, r.version, time.Since(start).Seconds())
	return nil
}

// ldflags name the release; without them clients and servers report v0.0.0 and
// refuse one another.
func (r release) ldflags() string {
	parts := strings.Split(strings.TrimPrefix(r.version, "v"), ".")
	const pkg = "k8s.io/component-base/version"
	return fmt.Sprintf("-s -w -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s",
		pkg, r.version, pkg, parts[0], pkg, parts[1])
}

// runBoundToParent runs cmd, which the kernel kills when this process dies in
// whatever way. Pdeathsig follows the thread that forked, so that thread has to
// stay until the end.
func runBoundToParent(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}

// every calls f every d until the returned function is called, which returns
// after the last call.
func every(d time.Duration, f func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(d)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				f()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// buildOutput reads what `go build -v` says: a line per compiled package, and
// the complaints of a build that fails.
type buildOutput struct {
	mu       sync.Mutex
	rest     string
	packages int
	current  string
	other    []string
}

// packageLine is a line that -v prints: an import path and nothing else.
var packageLine = regexp.MustCompile(`^[\w.~/-]+$`)

func (b *buildOutput) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest += string(p)
	end := strings.LastIndexByte(b.rest, '\n') + 1
	lines := bufio.NewScanner(strings.NewReader(b.rest[:end]))
	for lines.Scan() {
		b.add(lines.Text())
	}
	b.rest = b.rest[end:]
	return len(p), lines.Err()
}

func (b *buildOutput) add(line string) {
	switch {
	case packageLine.MatchString(line):
		b.packages++
		b.current = line
	case strings.HasPrefix(line, "go: downloading "):
		b.current = strings.TrimPrefix(line, "go: ")
	default:
		b.other = append(b.other, line)
	}
}

// String tells how far the build is.
func (b *buildOutput) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current == "" {
		return "nothing compiled yet"
	}
	return fmt.Sprintf("%d packages compiled, last %s", b.packages, b.current)
}

// complaints are the last lines that were not progress.
func (b *buildOutput) complaints() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.other
	if b.rest != "" {
		last = append(last, b.rest)
	}
	const most = 30
	return strings.Join(last[max(0, len(last)-most):], "\n")
}
