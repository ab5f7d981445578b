package controlplane

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// childVariable tells a test process that it is the one that will be killed.
const childVariable = "FAIRWAY_CONTROLPLANE_CHILD"

func TestKilledTestLeavesNoProcess(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		cp := Start(t, Options{})
		fmt.Printf("holding %d %d %s\n", cp.etcd.pid, cp.apiserver.pid, cp.dir.path)
		select {}
	}
	requireEtcd(t)
	child := exec.Command(os.Args[0], "-test.run=^TestKilledTestLeavesNoProcess$", "-test.timeout=5m")
	child.Env = append(os.Environ(), childVariable+"=1")
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()

	var etcd, apiserver int
	var dir string
	said, _ := bufio.NewReader(output).ReadString('\n')
	if _, err := fmt.Sscanf(said, "holding %d %d %s", &etcd, &apiserver, &dir); err != nil {
		t.Fatalf("the child said %q: %v", said, err)
	}
	if !runs(etcd, "etcd") || !runs(apiserver, "kube-apiserver") {
		t.Fatalf("etcd (%d) or kube-apiserver (%d) does not run, so its end would prove nothing", etcd, apiserver)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "etcd and kube-apiserver are gone", func() bool {
		return !runs(etcd, "etcd") && !runs(apiserver, "kube-apiserver")
	})

	makeOld(t, dir)
	eventually(t, "the next start sweeps its folder", func() bool {
		sweep(filepath.Dir(dir))
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
}

// runs reports whether pid is a live process of the program called name.
func runs(pid int, name string) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	short := name[:min(len(name), 15)] // as the kernel cuts it
	return strings.HasPrefix(string(status), "Name:\t"+short+"\n") && !strings.Contains(string(status), "State:\tZ")
}

func TestSweepLeavesFoldersThatAreInUseOrNew(t *testing.T) {
	base := t.TempDir()
	used, err := newWorkDir(base)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = used.remove() }()
	base = filepath.Dir(used.path)
	fresh, err := os.MkdirTemp(base, workDirPrefix)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	makeOld(t, used.path)
	sweep(base)
	for _, dir := range []string{used.path, fresh} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("swept: %v", err)
		}
	}
	makeOld(t, fresh)
	sweep(base)
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("the old folder that nobody holds is still there: %v", err)
	}
}

func makeOld(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-2 * settleTime)
	if err := os.Chtimes(dir, old, old); err != nil {
		t.Fatal(err)
	}
}

func TestProcessThatEndsEarlyIsReportedWithItsLastWords(t *testing.T) {
	p, err := startProcess("talker", exec.Command("sh", "-c", "echo cannot open the door; exit 3"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	never := func(_ context.Context) error { return fmt.Errorf("not yet") }
	err = p.waitUntil(t.Context(), "answers", never)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "cannot open the door") {
		t.Errorf("got %v", err)
	}
}

func TestKillTakesAlongWhatAWrapperForked(t *testing.T) {
	dir := t.TempDir()
	p, err := startProcess("wrapper", exec.Command("sh", "-c", "sleep 1000 & echo $!; wait"), dir)
	if err != nil {
		t.Fatal(err)
	}
	var inner int
	eventually(t, "the wrapper names what it forked", func() bool {
		n, _ := fmt.Sscan(p.tail(1), &inner)
		return n == 1
	})
	eventually(t, "the forked program runs", func() bool { return runs(inner, "sleep") })
	if err := p.kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the forked program is gone", func() bool { return !runs(inner, "sleep") })
}
