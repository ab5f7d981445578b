package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Flow sends an echo request at a steady pace, to measure outages.
type Flow struct {
	ping *Process
}

// FlowReport is what became of a flow.
type FlowReport struct {
	Sent, Received int
	// Lost counts the requests that no answer came to, but for the very last one, which may still
	// be on its way.
	Lost int
	// Outage is the longest time without an answer, between two answers or from
	// the last one to the end. No shorter outage than the pace can be seen.
	Outage time.Duration
}

// Flow starts to send to addr, once every pace, until it is stopped. It returns
// when the first answer has come.
func (h *Host) Flow(ctx context.Context, addr netip.Addr, pace time.Duration) (*Flow, error) {
	name := "ping-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	seconds := strconv.FormatFloat(pace.Seconds(), 'f', 3, 64)
	ping, err := h.Start(ctx, name, "ping", "-n", "-D", "-i", seconds, addr.String())
	if err != nil {
		return nil, err
	}
	f := &Flow{ping: ping}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, closeTimeout)
		defer cancel()
	}
	err = Until(ctx, func() error {
		log, err := ping.Log()
		if err == nil && !answer.MatchString(log) {
			err = fmt.Errorf("%s gets no answer from %s", h.name, addr)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, ping.Kill())
	}
	return f, nil
}

// Stop ends the flow and tells what became of it.
func (f *Flow) Stop(ctx context.Context) (FlowReport, error) {
	if err := f.ping.Signal(syscall.SIGINT); err != nil {
		return FlowReport{}, err
	}
	// Status 1 says that answers are missing.
	var exit *exec.ExitError
	if err := f.ping.Wait(ctx); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		return FlowReport{}, fmt.Errorf("stopping a flow: %w", err)
	}
	end := time.Now()
	log, err := f.ping.Log()
	if err != nil {
		return FlowReport{}, err
	}
	return readFlow(log, end)
}

var (
	answer  = regexp.MustCompile(`(?m)^\[(\d+)\.(\d{6})\] \d+ bytes from .*icmp_seq=(\d+)`)
	summary = regexp.MustCompile(`(?m)^(\d+) packets transmitted, (\d+) received`)
)

// readFlow reads what ping -D has written until end.
func readFlow(log string, end time.Time) (FlowReport, error) {
	var report FlowReport
	counts := summary.FindStringSubmatch(log)
	if counts == nil {
		return report, fmt.Errorf("ping has written no summary: %s", lastLines(log, 5))
	}
	report.Sent, _ = strconv.Atoi(counts[1])
	report.Received, _ = strconv.Atoi(counts[2])
	report.Lost = report.Sent - report.Received
	var last time.Time
	var seq string
	lines := bufio.NewScanner(strings.NewReader(log))
	for lines.Scan() {
		at := answer.FindStringSubmatch(lines.Text())
		if at == nil {
			continue
		}
		seconds, _ := strconv.ParseInt(at[1], 10, 64)
		micros, _ := strconv.ParseInt(at[2], 10, 64)
		now := time.Unix(seconds, micros*int64(time.Microsecond))
		if !last.IsZero() {
			report.Outage = max(report.Outage, now.Sub(last))
		}
		last, seq = now, at[3]
	}
	if seq != counts[1] && report.Lost > 0 {
		report.Lost--
	}
	if !last.IsZero() {
		report.Outage = max(report.Outage, end.Sub(last))
	}
	return report, nil
}
