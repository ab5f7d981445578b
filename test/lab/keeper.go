package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A keeper holds a lab's namespaces. It is process 1 of the lab's process
// namespace, so its end ends every process of the lab, and with the last of them
// go the mounts and the network namespaces. It ends when the pipe to it closes,
// which the kernel sees to however the owner of the lab comes to its end.
type keeper struct {
	cmd  *exec.Cmd // unshare, the keeper's parent; its end ends the keeper too
	pid  int       // the keeper itself, as seen from outside the lab
	pipe io.WriteCloser
}

// The lab gets a /run of its own: named network namespaces, control sockets and
// pid files of every daemon lie there and vanish with it. Orphans are inherited
// by process 1; ignoring SIGCHLD has the kernel reap them. A read may be interrupted when several end at
// once, which the shell says in the same words as that the pipe has closed; then all that follow fail as well.
const keeperScript = `
set -e
read -r pid rest </proc/self/stat
mount -t tmpfs -o mode=755 lab /run
mkdir /run/netns /run/lock
mount -t proc proc /proc
sysctl -q -w net.ipv6.conf.default.disable_ipv6=1
for check in /proc/sys/net/bridge/bridge-nf-call-*tables; do
	[ ! -e "$check" ] || echo 0 >"$check"
done
ip link set dev lo up
trap '' CHLD
echo "$pid"
missed=0
while [ $missed -lt 100 ]; do
	if read -r order; then
		missed=0
		[ "$order" != stay ] || exec sleep infinity
	else
		missed=$((missed + 1))
	fi
done
`

func (k *keeper) start(ctx context.Context, logPath string) error {
	log, err := os.Create(logPath)
	if err != nil {
		return fmt.Errorf("creating the keeper's log: %w", err)
	}
	defer log.Close()
	k.cmd = exec.Command("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child=SIGKILL",
		"sh", "-c", keeperScript)
	k.cmd.Env = append(os.Environ(), "PATH="+searchPath())
	k.cmd.Stderr = log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if k.pipe, err = k.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("making the keeper's pipe: %w", err)
	}
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("making the keeper's pipe: %w", err)
	}
	if err := k.cmd.Start(); err != nil {
		return fmt.Errorf("starting the keeper: %w", err)
	}
	stopOnCancel := context.AfterFunc(ctx, func() { _ = k.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	stopOnCancel()
	if err == nil {
		k.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		_ = k.stop()
		said, _ := os.ReadFile(logPath)
		return fmt.Errorf("%w: making namespaces needs root with all capabilities: %s",
			ErrUnavailable, strings.TrimSpace(string(said)))
	}
	return nil
}

// stop ends the keeper, and with it every process of the lab. It returns when the
// keeper is gone, which the kernel lets go last of them all.
func (k *keeper) stop() error {
	_ = k.pipe.Close()
	late := time.AfterFunc(closeTimeout, func() { _ = k.cmd.Process.Kill() })
	err := k.cmd.Wait()
	if !late.Stop() {
		return fmt.Errorf("the lab's keeper did not end within %s and was killed", closeTimeout)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("waiting for the lab's keeper: %w", err)
	}
	return nil
}

func (k *keeper) detach() error {
	if _, err := io.WriteString(k.pipe, "stay\n"); err != nil {
		return fmt.Errorf("telling the lab's keeper to stay: %w", err)
	}
	return k.pipe.Close()
}
