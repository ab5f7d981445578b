package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

const metricsURL = "http://127.0.0.1:9479/metrics"

// What the agent says in its log.
const (
	saysAway      = "the API server cannot be read; what was last read stays in use"
	saysFirstPlan = "the first plan is at work"
)

// agent is the built agent, with its parent process.
type agent struct {
	*lab.Process
	child int // pid of the agent proper
}

// startAgent starts the agent of node-0 with the rights of its service account.
func (s *site) startAgent(ctx context.Context) error {
	s.runs++
	p, err := s.node.Start(ctx, fmt.Sprintf("agent-%d", s.runs), s.binary, "agent", "--source=kube", "--kubeconfig="+s.account,
		"--node-name="+nodeName, "--log-format=json", "--state-dir="+filepath.Join(s.node.Dir(), "state"))
	if err != nil {
		return err
	}
	s.agent = &agent{Process: p}
	return s.eventually(ctx, func() error {
		children := p.Children()
		if len(children) != 1 {
			return fmt.Errorf("the agent's parent has %d children", len(children))
		}
		s.agent.child = children[0]
		return nil
	})
}

// line is what a line of the agent's log is read for.
type line struct {
	Time     time.Time `json:"time"`
	Msg      string    `json:"msg"`
	Prefixes int       `json:"prefixes"`
}

// said waits until the agent has said msg, and returns the line.
func (s *site) agentSays(ctx context.Context, msg string) (found line, err error) {
	err = s.eventually(ctx, func() error {
		select {
		case <-s.agent.Done():
			return lab.Never(errors.New("the agent has ended"))
		default:
		}
		text, err := s.agent.Log()
		if err != nil {
			return lab.Never(err)
		}
		for entry := range strings.Lines(text) {
			if json.Unmarshal([]byte(entry), &found) == nil && found.Msg == msg {
				return nil
			}
		}
		return fmt.Errorf("the agent has not said %q", msg)
	})
	return found, err
}

// firstPlan measures one start of the API server, and leaves an agent that runs.
func (s *site) firstPlan(ctx context.Context, r *planResult, want prefixes) error {
	if s.agent != nil {
		if err := s.agent.Stop(ctx); err != nil {
			return err
		}
	}
	if err := s.cp.Halt(); err != nil {
		return err
	}
	if err := s.startAgent(ctx); err != nil {
		return err
	}
	if _, err := s.agentSays(ctx, saysAway); err != nil {
		return err
	}
	// By then the pauses between the agent's attempts are as long as they get, and the moment
	// of the next one is anybody's guess.
	if err := pause(ctx, 10*time.Second+rand.N(4*time.Second)); err != nil {
		return err
	}
	starting := time.Now()
	answered, err := s.startAPIServer(ctx)
	if err != nil {
		return err
	}
	planned, err := s.agentSays(ctx, saysFirstPlan)
	if err != nil {
		return err
	}
	if planned.Prefixes != want.count() {
		r.doubt("the first plan has %d prefixes, want %d", planned.Prefixes, want.count())
	}
	took := planned.Time.Sub(answered).Seconds()
	r.FirstPlans = append(r.FirstPlans, took)
	s.said.say("the first plan is at work %.2f s after the API server answers, which was after %.2f s (aim: under 5 s)", took, answered.Sub(starting).Seconds())
	if err := s.eventually(ctx, func() error { return s.routersCount(ctx, want) }); err != nil {
		return err
	}
	s.said.say("both routers have all %d prefixes", want.count())
	return nil
}

// plans are those that the agent has made so far.
type plans struct {
	made int
	took float64 // seconds, all together
}

// plans asks the agent's metrics.
func (s *site) plans(ctx context.Context) (plans, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, metricsURL, nil)
	if err != nil {
		return plans{}, err
	}
	response, err := s.web.Do(request)
	if err != nil {
		return plans{}, err
	}
	defer func() { _ = response.Body.Close() }()
	return readPlans(response.Body)
}

func readPlans(metrics io.Reader) (p plans, err error) {
	found := 0
	for lines := bufio.NewScanner(metrics); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		var bad error
		switch name {
		case "fairway_plan_seconds_count":
			p.made, bad = strconv.Atoi(value)
		case "fairway_plan_seconds_sum":
			p.took, bad = strconv.ParseFloat(value, 64)
		default:
			continue
		}
		found++
		err = errors.Join(err, bad)
	}
	if found != 2 {
		return p, errors.New("the agent's metrics have no fairway_plan_seconds")
	}
	return p, err
}

// weigh reads the memory of the agent's processes, and whether they are the ones of the start.
func (a *agent) weigh(r *planResult) error {
	children := a.Children()
	if len(children) != 1 || children[0] != a.child {
		r.doubt("the agent has restarted: its parent's children are %v, not %d", children, a.child)
	}
	for _, pid := range append([]int{a.Pid}, children...) {
		pss, err := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
		if err != nil {
			return err
		}
		peak, err := kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
		if err != nil {
			return err
		}
		r.RSS += pss / 1000 * 1.024
		r.RSSPeak += peak / 1000 * 1.024
	}
	return nil
}

// kilobytes reads a line such as "Pss:   1234 kB" of a file in /proc.
func kilobytes(file, field string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for entry := range strings.Lines(string(text)) {
		if words := strings.Fields(entry); len(words) == 3 && words[0] == field {
			return strconv.ParseFloat(words[1], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, field)
}

// pids returns the agent's processes: the parent and the agent proper.
func (a *agent) pids() []int { return []int{a.Pid, a.child} }
