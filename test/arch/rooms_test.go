package arch

// A room is a folder with Go code and what its files may import directly, beyond the
// standard library and golang.org/x/sync. ARCHITECTURE.md says why; the two change in
// the same commit.
type room struct {
	// folder is relative to the project's root. A folder without a room is refused, one
	// inside a room's folder as well: nothing is inherited.
	folder string
	// own are the project's folders that it may import, each exactly.
	own []string
	// foreign are import paths that it may import, each with all below it.
	foreign []string
	// anything lifts both lists, as for programs, which wire everything together. What
	// is confined elsewhere stays confined.
	anything bool
}

// Import paths that several rooms name.
const (
	xSync        = "golang.org/x/sync"
	xSys         = "golang.org/x/sys"
	xNet         = "golang.org/x/net"
	goBGP        = "github.com/osrg/gobgp"
	netlink      = "github.com/vishvananda/netlink"
	clientGo     = "k8s.io/client-go"
	kubeAPI      = "k8s.io/api"
	apimachinery = "k8s.io/apimachinery"
	grpc         = "google.golang.org/grpc"
	protobuf     = "google.golang.org/protobuf"
	prometheus   = "github.com/prometheus"
)

var rooms = []room{
	{folder: "api/v1alpha1", foreign: []string{apimachinery}},
	{folder: "api/agent/v1", foreign: []string{protobuf, grpc}},

	{folder: "cow"},

	{folder: "bgp", own: []string{"cow"}},
	{folder: "bgp/gobgp", own: []string{"bgp", "cow"}, foreign: []string{goBGP, grpc, protobuf}},
	{folder: "bgp/bfd", foreign: []string{xSys, xNet}},

	{folder: "routes"},
	{folder: "routes/netlink", own: []string{"routes"}, foreign: []string{netlink, xSys}},
	{folder: "routes/host", foreign: []string{netlink, xSys, xNet}},
	{folder: "routes/nft", foreign: []string{"github.com/google/nftables"}},

	{
		folder: "controller",
		own:    []string{"controller/snapshot", "controller/plan", "controller/report", "api/v1alpha1", "cow", "bgp", "routes"},
	},
	{folder: "controller/memory"},
	{folder: "controller/probe", own: []string{"controller", "api/v1alpha1"}},
	{
		folder:  "controller/snapshot",
		own:     []string{"api/v1alpha1", "bgp", "cow"},
		foreign: []string{kubeAPI, apimachinery},
	},
	{
		folder:  "controller/plan",
		own:     []string{"controller/snapshot", "api/v1alpha1", "bgp", "routes", "cow"},
		foreign: []string{apimachinery},
	},
	{
		folder:  "controller/report",
		own:     []string{"api/v1alpha1", "bgp", "routes"},
		foreign: []string{apimachinery},
	},
	{folder: "controller/rollup", own: []string{"api/v1alpha1"}, foreign: []string{apimachinery}},
	{
		folder:  "controller/kube",
		own:     []string{"controller/kube/client", "controller/snapshot", "controller/report", "controller/rollup", "api/v1alpha1", "bgp", "cow"},
		foreign: []string{clientGo, kubeAPI, apimachinery},
	},
	{
		folder:  "controller/kube/client",
		own:     []string{"api/v1alpha1"},
		foreign: []string{clientGo, kubeAPI, apimachinery},
	},
	{
		folder: "controller/dir",
		own:    []string{"controller/snapshot", "controller/report", "api/v1alpha1", "cow"},
		foreign: []string{
			kubeAPI, apimachinery, "sigs.k8s.io/yaml", "sigs.k8s.io/json", "go.yaml.in/yaml/v3",
			"github.com/fsnotify/fsnotify",
		},
	},
	{folder: "controller/pools", own: []string{"controller/snapshot"}},
	{folder: "controller/cni", own: []string{"routes/host", "routes/nft"}},
	{
		folder:  "controller/admin",
		own:     []string{"api/agent/v1", "controller/report", "bgp"},
		foreign: []string{prometheus, grpc},
	},

	{folder: "cmd/fairway", anything: true},
	{
		folder:  "cmd/kubectl-fairway",
		own:     []string{"api/v1alpha1", "api/agent/v1", "controller/plan", "controller/dir"},
		foreign: []string{clientGo},
	},
}

// confined names what only some folders, and those below them, may import. It holds
// against a later, more generous table above.
var confined = []struct {
	path string
	to   []string
}{
	{goBGP, []string{"bgp/gobgp"}},
	{netlink, []string{"routes"}},
	{clientGo, []string{"controller/kube", "cmd"}},
}

// pure names the folders whose results depend on their arguments alone, so that a test
// of them is values in and values out.
var pure = []string{"controller/plan", "controller/pools", "controller/rollup"}

// impure are the packages that a pure folder must not import.
var impure = []string{"context", "log", "log/slog"}

// clock are the names of package time that read the clock or wait for it; time.Duration
// and its like are fine.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// roots are the folders whose programs may make a context out of nothing; everyone else
// is handed one, or could not be stopped.
var roots = []string{"cmd"}
