package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

const (
	// probePeriod is how often probes are asked, answerTime how long they may take.
	probePeriod = time.Second
	answerTime  = time.Second
	// silences is how many times in a row a probe may give no answer before that is one.
	silences = 3
	// portPeriod is how often healthCheckNodePorts are asked, more rarely where that would
	// take more than a tenth of the time; portsAtOnce how many of them.
	portPeriod  = 200 * time.Millisecond
	portShare   = 10
	portsAtOnce = 16
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 64 << 10
)

// HostProber is a Prober that asks in the network namespace and the file system of this process.
type HostProber struct {
	client  *http.Client
	changed chan struct{}
	// A message in each for what has changed in Questions.
	probesAsked, portsAsked chan struct{}

	mu     sync.Mutex
	asked  Questions
	probes map[string]*probing // by name
	ports  map[uint16]bool     // that said yes when they were last asked

	podsUnknown bool // as kube-proxy says, where it answers
}

// probing is what is known of one probe.
type probing struct {
	probe  v1alpha1.ReadinessProbe
	answer *Answer // nil: not known yet
	silent int     // how many times in a row it gave no answer
}

// NewHostProber returns one that is asked nothing yet.
func NewHostProber() *HostProber {
	return &HostProber{
		client: &http.Client{
			Timeout: answerTime,
			// No proxy between this node and itself, and no connection that outlives who answers.
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		changed:     make(chan struct{}, 1),
		probesAsked: make(chan struct{}, 1),
		portsAsked:  make(chan struct{}, 1),
		probes:      map[string]*probing{},
		ports:       map[uint16]bool{},
	}
}

// Ask implements Prober. A probe that is another than before under the same name is not answered yet.
func (p *HostProber) Ask(q Questions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !reflect.DeepEqual(q.Probes, p.asked.Probes) {
		known := p.probes
		p.probes = map[string]*probing{}
		for _, probe := range q.Probes {
			if was := known[probe.Name]; was != nil && reflect.DeepEqual(was.probe, probe) {
				p.probes[probe.Name] = was
			} else {
				p.probes[probe.Name] = &probing{probe: probe}
			}
		}
		signal(p.probesAsked)
	}
	if !reflect.DeepEqual(q.Ports, p.asked.Ports) {
		known := p.ports
		p.ports = map[uint16]bool{}
		for _, port := range q.Ports {
			if known[port] {
				p.ports[port] = true
			}
		}
		signal(p.portsAsked)
	}
	p.asked = q
}

// Changed implements Prober.
func (p *HostProber) Changed() <-chan struct{} { return p.changed }

// Answers implements Prober.
func (p *HostProber) Answers() Answers {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := Answers{Probes: map[string]Answer{}, Ports: map[uint16]bool{}, PodsUnknown: p.podsUnknown}
	for name, known := range p.probes {
		if known.answer != nil {
			a.Probes[name] = *known.answer
		}
	}
	for port := range p.ports {
		a.Ports[port] = true
	}
	return a
}

// Run asks until ctx ends.
func (p *HostProber) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error {
		again(ctx, p.probesAsked, func() time.Duration { return p.askProbes(ctx) })
		return nil
	})
	group.Go(func() error {
		again(ctx, p.portsAsked, func() time.Duration { return p.askPorts(ctx) })
		return nil
	})
	group.Go(func() error {
		again(ctx, nil, func() time.Duration { return p.askKubeProxy(ctx) })
		return nil
	})
	return group.Wait()
}

// again acts, and once more after the time that act returns, or at once when something else is asked.
func again(ctx context.Context, asked <-chan struct{}, act func() time.Duration) {
	for ctx.Err() == nil {
		timer := time.NewTimer(act())
		select {
		case <-ctx.Done():
		case <-asked:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (p *HostProber) askProbes(ctx context.Context) (wait time.Duration) {
	p.mu.Lock()
	probes := p.asked.Probes
	p.mu.Unlock()
	var group errgroup.Group
	for _, probe := range probes {
		group.Go(func() error {
			answer, err := p.probe(ctx, probe)
			if ctx.Err() == nil {
				p.note(probe, answer, err)
			}
			return nil
		})
	}
	_ = group.Wait()
	if len(probes) == 0 {
		return everLong
	}
	return probePeriod
}

// note keeps an answer. An error is none: what was known stands until there have been too many.
func (p *HostProber) note(probe v1alpha1.ReadinessProbe, answer Answer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.probes[probe.Name]
	if known == nil || !reflect.DeepEqual(known.probe, probe) {
		return // it is no longer asked
	}
	if err == nil {
		known.silent = 0
	} else {
		known.silent++
		if known.silent < silences {
			return
		}
		answer = Answer{Words: err.Error()}
	}
	if known.answer == nil || *known.answer != answer {
		known.answer = &answer
		signal(p.changed)
	}
}

// probe asks once. An error says that there was no answer, neither good nor bad.
func (p *HostProber) probe(ctx context.Context, probe v1alpha1.ReadinessProbe) (Answer, error) {
	if probe.File != nil {
		return lookFor(probe.File.Path)
	}
	url := urlOf(probe.HTTP.Address, uint16(probe.HTTP.Port), probe.HTTP.Path)
	status, _, err := p.get(ctx, url)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Answer{Words: fmt.Sprintf("nothing listens where %s asks", url)}, nil
	case err != nil:
		return Answer{}, err
	}
	return Answer{Good: status >= 200 && status <= 399, Words: fmt.Sprintf("%s answers %d", url, status)}, nil
}

func lookFor(path string) (Answer, error) {
	switch _, err := os.Stat(path); {
	case err == nil:
		return Answer{Good: true, Words: path + " exists"}, nil
	case errors.Is(err, fs.ErrNotExist):
		return Answer{Words: path + " does not exist"}, nil
	default:
		return Answer{}, err
	}
}

// askPorts asks all healthCheckNodePorts once.
func (p *HostProber) askPorts(ctx context.Context) (wait time.Duration) {
	p.mu.Lock()
	ports, hosts := p.asked.Ports, portHosts(p.asked.Addresses)
	p.mu.Unlock()
	if len(ports) == 0 {
		return everLong
	}
	began := time.Now()
	var group errgroup.Group
	group.SetLimit(portsAtOnce)
	for _, port := range ports {
		group.Go(func() error {
			p.notePort(port, p.serves(ctx, port, hosts))
			return nil
		})
	}
	_ = group.Wait()
	return max(portPeriod, portShare*time.Since(began))
}

// portHosts are the addresses where a service proxy may listen: on all, or, as kube-proxy by
// default in its nftables mode, on those of the Node alone.
func portHosts(node []netip.Addr) []string {
	hosts := []string{"127.0.0.1"}
	for _, addr := range node {
		hosts = append(hosts, addr.String())
	}
	return hosts
}

// serves reports whether a service proxy says that it has programmed an endpoint on this node.
func (p *HostProber) serves(ctx context.Context, port uint16, hosts []string) bool {
	for _, host := range hosts {
		if status, _, err := p.get(ctx, urlOf(host, port, "/healthz")); err == nil && status == http.StatusOK {
			return true
		}
	}
	return false
}

func (p *HostProber) notePort(port uint16, serves bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ports[port] == serves {
		return
	}
	if !serves {
		delete(p.ports, port)
	} else if p.asks(port) {
		p.ports[port] = true
	}
	signal(p.changed)
}

func (p *HostProber) asks(port uint16) bool {
	_, asked := slices.BinarySearch(p.asked.Ports, port)
	return asked
}

func urlOf(host string, port uint16, path string) string {
	return "http://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + path
}

func (p *HostProber) get(ctx context.Context, url string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", url, err)
	}
	request.Header.Set("User-Agent", "fairway")
	response, err := p.client.Do(request)
	if err != nil {
		return 0, nil, err // it names the URL
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		body = nil // the status is an answer
	}
	return response.StatusCode, body, nil
}
