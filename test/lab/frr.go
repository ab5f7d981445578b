package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// FRR is a router that runs the real FRRouting.
type FRR struct {
	*Host
	// Port is the one that bgpd listens on; 0: 179. It counts from the next Up.
	Port    int
	config  string
	daemons []*Process // in the order they were started, zebra first
}

// frrDir is where FRR's daemons are. OpenBGPD has a bgpd, too, which is on PATH.
const frrDir = "/usr/lib/frr/"

var frrPrograms = []string{frrDir + "zebra", frrDir + "bgpd", frrDir + "bfdd", frrDir + "staticd", "vtysh"}

// FRR adds a router with this frr.conf; Lab.Up starts it. zebra and bgpd always
// run, bfdd and staticd when the configuration speaks of them. It needs "no bgp
// ebgp-requires-policy" to exchange anything over eBGP without policies.
func (l *Lab) FRR(name, config string) *FRR {
	r := &FRR{Host: l.newHost(name), config: config}
	if err := need(frrPrograms...); err != nil {
		l.fail(err)
		return r
	}
	if !l.claim(name) {
		return r
	}
	r.create(routing)
	r.prepare()
	l.starts(r)
	return r
}

// FRRBeside is FRR on a host that there is already, next to what else runs there. Its Up
// starts it; Lab.Up does not.
func (l *Lab) FRRBeside(m Machine, config string) *FRR {
	r := &FRR{Host: m.host(), config: config}
	if err := need(frrPrograms...); err != nil {
		l.fail(err)
		return r
	}
	r.prepare()
	return r
}

// prepare makes the folders that the daemons expect.
func (r *FRR) prepare() {
	r.lab.script( // FRR's daemons run as frr, and leave a folder each in /var/tmp/frr
		"[ -d /var/tmp/frr ] || install -d -o frr -g frr -m 700 /var/tmp/frr",
		"mountpoint -q /var/tmp/frr || mount -t tmpfs -o mode=777 lab /var/tmp/frr",
		"install -d -o frr -g frr /run/frr "+r.sockets(),
		": >"+r.sockets()+"/vtysh.conf",
	)
}

// sockets is the folder of the router's control sockets, inside the lab.
func (r *FRR) sockets() string { return "/run/frr/" + r.name }

var (
	speaksBFD    = regexp.MustCompile(`\bbfd\b`)
	speaksStatic = regexp.MustCompile(`(?m)^\s*(ip|ipv6) route\s`)
)

// Up starts the daemons and gives them the configuration, as after a boot. It
// returns when all of them have accepted it.
func (r *FRR) Up(ctx context.Context) error {
	names := []string{"zebra", "bgpd"}
	if speaksBFD.MatchString(r.config) {
		names = append(names, "bfdd")
	}
	if speaksStatic.MatchString(r.config) {
		names = append(names, "staticd")
	}
	r.daemons = nil
	for _, name := range names {
		if err := r.startDaemon(ctx, name); err != nil {
			return err
		}
	}
	for _, daemon := range r.daemons {
		if err := r.listens(ctx, daemon); err != nil {
			return err
		}
	}
	return r.load(ctx, "frr.conf", r.config)
}

// startDaemon starts one daemon. zebra comes first and has to be there for the
// others, which wait ten seconds before they try again; its vty opens last.
func (r *FRR) startDaemon(ctx context.Context, name string) error {
	argv := []string{
		frrDir + name, "-z", r.sockets() + "/zserv.api", "--vty_socket", r.sockets(), "-i", r.sockets() + "/" + name + ".pid",
		"-f", "/dev/null", "-P", "0", "--log", "stdout",
	}
	if name == "zebra" {
		// Without it an IPv6 route is removed before it is set anew, and packets find none in between.
		argv = append(argv, "--v6-rr-semantics")
	}
	if name == "bgpd" && r.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(r.Port))
	}
	if name == "bfdd" {
		argv = append(argv, "--bfdctl", r.sockets()+"/bfdd.sock")
	}
	daemon, err := r.Start(ctx, name, argv...)
	if err != nil {
		return err
	}
	r.daemons = append(r.daemons, daemon)
	if name == "zebra" {
		return r.listens(ctx, daemon)
	}
	return nil
}

// listens waits until vtysh can talk to the daemon.
func (r *FRR) listens(ctx context.Context, daemon *Process) error {
	return daemon.ready(ctx, func() error {
		conn, err := r.dial(ctx, filepath.Base(daemon.Name))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// Configure applies further lines of configuration, as typed after "configure
// terminal". They are forgotten when the router goes down.
func (r *FRR) Configure(ctx context.Context, config string) error {
	return r.load(ctx, "change.conf", config)
}

// load has vtysh hand each line to the daemons it is for; a line that none
// accepts is an error that names it.
func (r *FRR) load(ctx context.Context, file, config string) error {
	path := filepath.Join(r.dir, file)
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", r.name, err)
	}
	_, err := r.vtysh(ctx, "-f", path)
	return err
}

// VTYSH runs commands and returns what they print.
func (r *FRR) VTYSH(ctx context.Context, commands ...string) (string, error) {
	var args []string
	for _, command := range commands {
		args = append(args, "-c", command)
	}
	return r.vtysh(ctx, args...)
}

func (r *FRR) vtysh(ctx context.Context, args ...string) (string, error) {
	base := []string{"vtysh", "--vty_socket", r.sockets(), "--config_dir", r.sockets()}
	return r.Run(ctx, append(base, args...)...)
}

// JSON puts a question to bgpd, "show bgp ... json", and decodes the answer into v.
func (r *FRR) JSON(ctx context.Context, v any, command string) error {
	out, err := r.ask(ctx, command)
	if err == nil {
		err = json.Unmarshal(out, v)
	}
	if err != nil {
		return fmt.Errorf("%s: asking bgpd %q: %w", r.name, command, err)
	}
	return nil
}

// ask does as vtysh does, which itself takes longer to start than most answers: a command
// that ends in a zero byte is answered by a text that ends in three of them and the status.
func (r *FRR) ask(ctx context.Context, command string) ([]byte, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, scriptTimeout)
		defer cancel()
	}
	conn, err := r.dial(ctx, "bgpd")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if _, err := conn.Write([]byte(command + "\x00")); err != nil {
		return nil, err
	}
	var answer []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := conn.Read(chunk)
		if err != nil {
			return nil, errors.Join(err, context.Cause(ctx))
		}
		answer = append(answer, chunk[:n]...)
		text := len(answer) - 4
		switch {
		case text < 0 || !bytes.Equal(answer[text:text+3], []byte{0, 0, 0}):
		case answer[text+3] != 0:
			return nil, fmt.Errorf("status %d: %s", answer[text+3], answer[:text])
		default:
			return answer[:text], nil
		}
	}
}

// dial connects to the control socket of a daemon.
func (r *FRR) dial(ctx context.Context, daemon string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/%d/root%s/%s.vty", r.lab.keeper.pid, r.sockets(), daemon))
}

// A Session is what bgpd tells of the one with a neighbor.
type Session struct {
	State    string `json:"bgpState"`                   // as in RFC 4271
	Ups      int    `json:"connectionsEstablished"`     // how often it has come up since bgpd's start
	Since    int64  `json:"bgpTimerUpEstablishedEpoch"` // when it last did, in seconds; 0: it is not up
	Hold     int    `json:"bgpTimerHoldTimeMsecs"`      // the hold time that the two agreed on, in milliseconds
	Messages struct {
		Updates int `json:"updatesRecv"` // from the neighbor
	} `json:"messageStats"`
	Restart struct {
		EndOfRIB struct {
			IPv4 bool `json:"ipv4Unicast"` // the neighbor has said it
		} `json:"endOfRibRecv"`
	} `json:"gracefulRestartInfo"`
}

// Up reports whether it is established.
func (s Session) Up() bool { return s.State == "Established" }

// Session asks for that with the neighbor of an address.
func (r *FRR) Session(ctx context.Context, neighbor string) (Session, error) {
	var answer map[string]Session
	if err := r.JSON(ctx, &answer, "show bgp neighbors "+neighbor+" json"); err != nil {
		return Session{}, err
	}
	s, known := answer[neighbor]
	if !known {
		return Session{}, fmt.Errorf("%s does not know %s", r.name, neighbor)
	}
	return s, nil
}

// Daemon is the running daemon of this name ("bgpd"), nil when there is none.
func (r *FRR) Daemon(name string) *Process {
	for _, daemon := range r.daemons {
		if daemon.Name == r.name+"/"+name {
			return daemon
		}
	}
	return nil
}

// Down stops the daemons in order, zebra last: sessions get their NOTIFICATION.
func (r *FRR) Down(ctx context.Context) error {
	var errs []error
	for _, daemon := range slices.Backward(r.daemons) {
		if !daemon.over(0) {
			errs = append(errs, daemon.Stop(ctx))
		}
	}
	r.daemons = nil
	return errors.Join(errs...)
}

// Crash kills all daemons without a word to anyone; their kernel routes stay.
func (r *FRR) Crash() error {
	var errs []error
	for _, daemon := range slices.Backward(r.daemons) {
		errs = append(errs, daemon.Kill())
	}
	r.daemons = nil
	return errors.Join(errs...)
}
