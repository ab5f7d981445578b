package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// daemon is a program under test.
type daemon struct {
	name     string
	protocol string // of its routes, as ip names it
	// start starts it on the node with the one session to the sender. It returns how to stop
	// it, and the processes that it consists of.
	start func(ctx context.Context, s *fibSite, f family) (running, error)
}

// running is a daemon that was started.
type running struct {
	pids func() []int
	stop func(context.Context) error
}

var daemons = []daemon{
	{"fairway", "219", startFairway},
	{"bird", "bird", startBIRD},
	{"frr", "bgp", startFRR},
}

// manifests are what a user would write. The Node's pod CIDRs are elsewhere.
func manifests(f family) string {
	name, pool := "IPv4Unicast", poolIPv4
	if f.afi == 2 {
		name, pool = "IPv6Unicast", poolIPv6
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Node
metadata: {name: node}
spec: {}
status:
  addresses:
  - {type: InternalIP, address: %[1]s}
  - {type: InternalIP, address: %[2]s}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec:
  localASN: %[3]d
  cluster: {podCIDRs: [%[4]s, "%[5]s"]}
  topology: {type: None}
  gracefulRestart: {enabled: true}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: sender}
spec:
  address: "%[6]s"
  asn: %[7]d
  passive: true
  families: [%[8]s]
  import:
    allow:
    - {prefix: "%[9]s", minLength: %[10]d, maxLength: %[10]d}
`, families["4"].node, families["6"].node, nodeASN, poolIPv4, poolIPv6, f.hops[0], senderASN, name, pool, f.length)
}

func startFairway(ctx context.Context, s *fibSite, f family) (running, error) {
	dir := filepath.Join(s.node.Dir(), fmt.Sprintf("fairway-%d", s.starts))
	config := filepath.Join(dir, "config")
	if err := os.MkdirAll(config, 0o755); err != nil {
		return running{}, fmt.Errorf("making a folder for manifests: %w", err)
	}
	if err := os.WriteFile(filepath.Join(config, "all.yaml"), []byte(manifests(f)), 0o644); err != nil {
		return running{}, fmt.Errorf("writing the manifests: %w", err)
	}
	p, err := s.node.Start(ctx, fmt.Sprintf("agent-%d", s.starts), s.binary, "agent", "--source=dir:"+config,
		"--node-name=node", "--state-dir="+filepath.Join(dir, "state"))
	if err != nil {
		return running{}, err
	}
	return running{
		pids: func() []int { return append([]int{p.Pid}, p.Children()...) },
		stop: p.Stop,
	}, nil
}

func startBIRD(ctx context.Context, s *fibSite, f family) (running, error) {
	channel := "ipv4"
	if f.afi == 2 {
		channel = "ipv6"
	}
	config := fmt.Sprintf(`log stderr all;
router id 192.0.2.2;
protocol device {}
protocol kernel { %[1]s { import none; export all; }; }
protocol bgp sender {
  local as %[2]d;
  neighbor %[3]s as %[4]d;
  passive on;
  graceful restart on;
  %[1]s { import all; export none; };
}
`, channel, nodeASN, f.hops[0], senderASN)
	path := filepath.Join(s.node.Dir(), "bird.conf")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return running{}, fmt.Errorf("writing BIRD's configuration: %w", err)
	}
	p, err := s.node.Start(ctx, fmt.Sprintf("bird-%d", s.starts), "bird", "-f", "-c", path, "-s", "/run/bench-bird.ctl", "-P", "/run/bench-bird.pid")
	if err != nil {
		return running{}, err
	}
	return running{pids: func() []int { return []int{p.Pid} }, stop: p.Stop}, nil
}

// startFRR starts zebra and bgpd as FRR's own script does, which gives them their
// configuration once they answer.
func startFRR(ctx context.Context, s *fibSite, f family) (running, error) {
	channel := "ipv4"
	if f.afi == 2 {
		channel = "ipv6"
	}
	frr := s.lab.FRRBeside(s.node, fmt.Sprintf(`router bgp %[1]d
 bgp router-id 192.0.2.2
 bgp graceful-restart
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor %[2]s remote-as %[3]d
 neighbor %[2]s passive
 address-family %[4]s unicast
  neighbor %[2]s activate
 exit-address-family
`, nodeASN, f.hops[0], senderASN, channel))
	if err := frr.Up(ctx); err != nil {
		return running{}, errors.Join(err, frr.Down(ctx))
	}
	return running{
		pids: func() []int { return []int{frr.Daemon("zebra").Pid, frr.Daemon("bgpd").Pid} },
		stop: func(ctx context.Context) error {
			err := frr.Down(ctx)
			_, flushed := s.node.Run(ctx, "ip", "nexthop", "flush")
			return errors.Join(err, flushed)
		},
	}, nil
}

// weighed is the memory of a daemon's processes, in megabytes.
type weighed struct {
	now  float64 // the proportional set size
	peak float64 // the sum of each process's greatest resident set
}

func weigh(pids []int) (w weighed, err error) {
	for _, pid := range pids {
		pss, err := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
		if err != nil {
			return w, err
		}
		peak, err := kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
		if err != nil {
			return w, err
		}
		w.now += pss / 1000 * 1.024
		w.peak += peak / 1000 * 1.024
	}
	return w, nil
}

// cpuSeconds is what processes have used so far, of user and of system, each to a hundredth.
func cpuSeconds(pids []int) (sum float64, err error) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// After a name in parentheses, which may hold anything: the eleventh and the one after it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat reads %q", pid, stat)
		}
		user, err1 := strconv.Atoi(fields[11])
		system, err2 := strconv.Atoi(fields[12])
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		sum += float64(user+system) / 100
	}
	return sum, nil
}
