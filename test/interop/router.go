package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/test/lab"
)

// router is what a peer is to be, in words that every implementation knows. Each renders it
// in its own configuration; what it cannot do is for its parser to refuse.
type router struct {
	asn      int
	port     int // to listen on; 0: 179
	sessions []session
	routes   []route
	// passedOn is what it has from others, for a daemon that passes nothing on to a peer whose
	// AS is in the path: it tells that as its own, with the same path.
	passedOn []route
}

// session is one of a router's sessions.
type session struct {
	address         string // of the other side
	link            string // with a link-local address: where that is
	asn             int    // that the other side has
	source          string // the router's own address; empty: as the kernel chooses
	port            int    // of the other side; 0: 179
	passive         bool
	password        string
	hops            int // eBGP multihop; 0: on-link
	gtsm            bool
	hold            int // seconds; the keepalive time is a third
	families        []family
	extendedNextHop bool
	restart         int // graceful restart, seconds; 0: not offered
	longLived       int // seconds
	notification    bool
	client          bool // the router reflects to the other side
	overrideAS      bool
	severalPaths    bool // both ways (RFC 7911)
}

// route is what a router tells.
type route struct {
	prefix      string
	communities []string // "65000:1", or one of wellKnown
	large       []string
	med         int
	localPref   int
	path        []int // AS numbers behind the router's own
}

type family string

const (
	ipv4 family = "ipv4"
	ipv6 family = "ipv6"
)

func familyOf(prefix string) family {
	if strings.Contains(prefix, ":") {
		return ipv6
	}
	return ipv4
}

// of are the routes of a family.
func of(routes []route, f family) []route {
	return slices.DeleteFunc(slices.Clone(routes), func(r route) bool { return familyOf(r.prefix) != f })
}

// zoned is the other side's address, with its link where it is good there only.
func (s session) zoned() string {
	if s.link != "" {
		return s.address + "%" + s.link
	}
	return s.address
}

// neighbor is the other side for a daemon that finds a link-local address by the link alone.
func (s session) neighbor() string {
	if s.link != "" {
		return s.link
	}
	return s.address
}

// neighbor is what such a daemon calls the side that has this address.
func (r router) neighbor(address string) string {
	for _, s := range r.sessions {
		if s.address == address {
			return s.neighbor()
		}
	}
	return address
}

// external says whether a session is between two ASes.
func (s session) external(r router) bool { return s.asn != r.asn }

// path is what a router knows of a prefix.
type path struct {
	asPath      string // "64512 64512"; empty: from the router's own AS
	nextHop     string
	med         int
	localPref   int // 0 also where there is none
	communities []string
	large       []string
	bandwidth   string // as the router prints it
}

// view is what a router says of a session.
type view struct {
	up   bool
	hold int    // seconds, as agreed on
	text string // all of it, the log included
}

// daemon is a router's implementation of BGP, at work in the lab.
type daemon interface {
	lab.Machine
	Up(ctx context.Context) error
	// Crash kills it without a word to anyone.
	Crash() error
	Name() string
	AddAddress(device string, addrs ...string)
	Run(ctx context.Context, argv ...string) (string, error)

	// settle does what is left to do after Up, such as telling routes.
	settle(ctx context.Context) error
	// cannotRestart says in the daemon's words that it does not preserve forwarding while it
	// restarts; "" where it does.
	cannotRestart(ctx context.Context, address string) (string, error)
	// restart is Up after a Crash, with what makes it a graceful one.
	restart(ctx context.Context) error
	// tell replaces the routes that it tells.
	tell(ctx context.Context, routes []route) error
	view(ctx context.Context, address string) (view, error)
	// paths are those to a prefix, none where it has none.
	paths(ctx context.Context, prefix string) ([]path, error)
	// shutdown ends a session, with words for the other side.
	shutdown(ctx context.Context, address, words string) error
	// version is what the daemon itself says.
	version(ctx context.Context) (string, error)
}

// implementation is a column of the table.
type implementation struct {
	name string
	// forwards says that it writes what it learns into the kernel.
	forwards bool
	// scripted says that it is no router: it runs the rows that can be a script.
	scripted bool
	add      func(l *lab.Lab, r router) daemon
}

var implementations = []implementation{
	{name: "FRR", forwards: true, add: addFRR},
	{name: "BIRD", forwards: true, add: addBIRD},
	{name: "GoBGP", add: addGoBGP},
	{name: "OpenBGPD", add: addOpenBGPD},
	{name: "ExaBGP", scripted: true, add: addExaBGP},
}

// The hosts of a cell's lab.
const (
	routerName = "router"
	nodeName   = "node"
)

// lines gathers lines of configuration.
type lines struct{ strings.Builder }

func (l *lines) add(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }

// addIf adds a line when something is asked for.
func (l *lines) addIf(asked bool, format string, args ...any) {
	if asked {
		l.add(format, args...)
	}
}

// has reports whether a family is one of a session's.
func (s session) has(f family) bool { return slices.Contains(s.families, f) }

// wellKnown are communities by the names that fairway and this package have for them.
var wellKnown = map[string]string{
	"no-export":         "65535:65281",
	"graceful-shutdown": "65535:0",
	"llgr-stale":        "65535:6",
}

// number is a community as two numbers.
func number(community string) (high, low int) {
	if numbers, named := wellKnown[community]; named {
		community = numbers
	}
	if _, err := fmt.Sscanf(community, "%d:%d", &high, &low); err != nil {
		panic(fmt.Sprintf("the community %q: %v", community, err))
	}
	return high, low
}
