// Package probe asks on this node whether what comes for a Service can be forwarded: the probes
// of a BGPSpeaker, the service proxy, and kube-proxy for its configuration.
package probe

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
	"github.com/fairway-bgp/fairway/controller"
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
	// untilAsked is a wait for other questions.
	untilAsked = time.Duration(1<<63 - 1)
)

// Prober is a controller.Prober that asks in the network namespace and the file system of this process.
type Prober struct {
	client  *http.Client
	changed chan struct{}
	// A message in each for what has changed in Questions.
	probesAsked, portsAsked, kubeProxyAsked chan struct{}

	mu     sync.Mutex
	asked  controller.Questions
	probes map[string]*probing // by name
	ports  map[uint16]bool     // that said yes when they were last asked

	kubeProxy   string // the URL where it is asked
	podsUnknown bool   // as kube-proxy says, where it is asked and answers
}

// probing is what is known of one probe.
type probing struct {
	probe  v1alpha1.ReadinessProbe
	answer *controller.Answer // nil: not known yet
	silent int                // how many times in a row it gave no answer
}

// New returns one that is asked nothing yet.
func New() *Prober {
	return &Prober{
		client: &http.Client{
			Timeout: answerTime,
			// No proxy between this node and itself, and no connection that outlives who answers.
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		changed:        make(chan struct{}, 1),
		probesAsked:    make(chan struct{}, 1),
		portsAsked:     make(chan struct{}, 1),
		kubeProxyAsked: make(chan struct{}, 1),
		probes:         map[string]*probing{},
		ports:          map[uint16]bool{},
		kubeProxy:      kubeProxyURL,
	}
}

// Ask implements controller.Prober. A probe that is another than before under the same name is not answered yet.
func (p *Prober) Ask(q controller.Questions) {
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
	if q.KubeProxy != p.asked.KubeProxy {
		p.podsUnknown = false
		signal(p.kubeProxyAsked)
	}
	p.asked = q
}

// Changed implements controller.Prober.
func (p *Prober) Changed() <-chan struct{} { return p.changed }

// Answers implements controller.Prober.
func (p *Prober) Answers() controller.Answers {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := controller.Answers{Probes: map[string]controller.Answer{}, Ports: map[uint16]bool{}, PodsUnknown: p.podsUnknown}
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
func (p *Prober) Run(ctx context.Context) error {
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
		again(ctx, p.kubeProxyAsked, func() time.Duration { return p.askKubeProxy(ctx) })
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

func (p *Prober) askProbes(ctx context.Context) (wait time.Duration) {
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
		return untilAsked
	}
	return probePeriod
}

// note keeps an answer. An error is none: what was known stands until there have been too many.
func (p *Prober) note(probe v1alpha1.ReadinessProbe, answer controller.Answer, err error) {
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
		answer = controller.Answer{Words: err.Error()}
	}
	if known.answer == nil || *known.answer != answer {
		known.answer = &answer
		signal(p.changed)
	}
}

// probe asks once. An error says that there was no answer, neither good nor bad.
func (p *Prober) probe(ctx context.Context, probe v1alpha1.ReadinessProbe) (controller.Answer, error) {
	if probe.File != nil {
		return lookFor(probe.File.Path)
	}
	url := urlOf(probe.HTTP.Address, uint16(probe.HTTP.Port), probe.HTTP.Path)
	status, _, err := p.get(ctx, url)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return controller.Answer{Words: fmt.Sprintf("nothing listens where %s asks", url)}, nil
	case err != nil:
		return controller.Answer{}, err
	}
	return controller.Answer{Good: status >= 200 && status <= 399, Words: fmt.Sprintf("%s answers %d", url, status)}, nil
}

func lookFor(path string) (controller.Answer, error) {
	switch _, err := os.Stat(path); {
	case err == nil:
		return controller.Answer{Good: true, Words: path + " exists"}, nil
	case errors.Is(err, fs.ErrNotExist):
		return controller.Answer{Words: path + " does not exist"}, nil
	default:
		return controller.Answer{}, err
	}
}

// askPorts asks all healthCheckNodePorts once.
func (p *Prober) askPorts(ctx context.Context) (wait time.Duration) {
	p.mu.Lock()
	ports, hosts := p.asked.Ports, portHosts(p.asked.Addresses)
	p.mu.Unlock()
	if len(ports) == 0 {
		return untilAsked
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
func (p *Prober) serves(ctx context.Context, port uint16, hosts []string) bool {
	for _, host := range hosts {
		if status, _, err := p.get(ctx, urlOf(host, port, "/healthz")); err == nil && status == http.StatusOK {
			return true
		}
	}
	return false
}

func (p *Prober) notePort(port uint16, serves bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ports[port] == serves || !p.asks(port) {
		return
	}
	if serves {
		p.ports[port] = true
	} else {
		delete(p.ports, port)
	}
	signal(p.changed)
}

func (p *Prober) asks(port uint16) bool {
	_, asked := slices.BinarySearch(p.asked.Ports, port)
	return asked
}

func urlOf(host string, port uint16, path string) string {
	return "http://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + path
}

func (p *Prober) get(ctx context.Context, url string) (status int, body []byte, err error) {
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

// signal makes a channel of capacity one readable.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
