package nft

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/test/namespace"
)

// nft runs nft(8), the judge of what the kernel holds.
func nft(t *testing.T, words string) string {
	t.Helper()
	path, err := exec.LookPath("nft")
	if err != nil {
		namespace.Unavailable(t, "needs nft of nftables")
	}
	out, err := exec.CommandContext(t.Context(), path, strings.Fields(words)...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %s: %v\n%s", words, err, out)
	}
	return string(out)
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func set(t *testing.T, want []netip.Prefix) {
	t.Helper()
	if err := (Filter{}).Set(t.Context(), want); err != nil {
		t.Fatal(err)
	}
}

const foreign = `table inet other {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ip daddr 10.96.0.0/16 counter packets 0 bytes 0 accept
	}
}
table ip fairway {
	chain theirs {
	}
}
`

const refused = `table inet fairway {
	set unowned-ipv4 {
		type ipv4_addr
		flags interval
		elements = { 10.96.0.0/24, 198.51.100.0/25,
			     255.255.255.0/24 }
	}

	set unowned-ipv6 {
		type ipv6_addr
		flags interval
		elements = { fd00:96::/112 }
	}

	chain refuse-unowned {
		type filter hook forward priority filter; policy accept;
		ip daddr @unowned-ipv4 counter packets 0 bytes 0 reject with icmpx host-unreachable
		ip6 daddr @unowned-ipv6 counter packets 0 bytes 0 reject with icmpx host-unreachable
	}
}
`

func TestTheTableIsWhatIsWantedAndNoOtherIsTouched(t *testing.T) {
	namespace.Enter(t)
	load(t, foreign)
	others := nft(t, "list ruleset")
	set(t, prefixes("fd00:96::/112", "198.51.100.64/26", "10.96.0.0/24", "198.51.100.0/26", "255.255.255.0/24"))
	// Newer versions of nft(8) do without a word.
	if got := strings.ReplaceAll(nft(t, "list table inet fairway"), "icmpx type ", "icmpx "); got != refused {
		t.Errorf("the table is\n%s\nwant\n%s", got, refused)
	}
	if err := (Filter{}).Set(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := nft(t, "list ruleset"); got != others {
		t.Errorf("without ours the ruleset is\n%s\nwant\n%s", got, others)
	}
}

func load(t *testing.T, text string) {
	t.Helper()
	file := t.TempDir() + "/rules"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nft(t, "-f "+file)
}

// A table that is as it should be is not written again: its counters go on.
func TestNothingIsWrittenWhereNothingDiffers(t *testing.T) {
	namespace.Enter(t)
	want := prefixes("10.96.0.0/24", "fd00:96::/112")
	set(t, want)
	handles := func() string { return nft(t, "-a list table inet fairway") }
	before := handles()
	set(t, want)
	if after := handles(); after != before {
		t.Errorf("it was written again:\n%s\nbefore\n%s", after, before)
	}
	set(t, prefixes("10.96.0.0/24"))
	if after := handles(); after == before {
		t.Error("handles do not tell that it was written")
	}
}

func TestWhatOthersDoToTheTableIsUndone(t *testing.T) {
	namespace.Enter(t)
	want := prefixes("10.96.0.0/24", "fd00:96::/112")
	set(t, want)
	good := nft(t, "list table inet fairway")
	for _, damage := range []string{
		"flush ruleset", "delete table inet fairway", "flush chain inet fairway refuse-unowned", "flush set inet fairway unowned-ipv4",
		"add element inet fairway unowned-ipv4 { 10.97.0.0/24 }", "delete element inet fairway unowned-ipv6 { fd00:96::/112 }",
		"insert rule inet fairway refuse-unowned accept", "add rule inet fairway refuse-unowned drop", "add chain inet fairway another",
		"add set inet fairway another { type ipv4_addr; }", "add chain inet fairway refuse-unowned { policy drop; }",
	} {
		nft(t, damage)
		if nft(t, "list ruleset") == good {
			t.Errorf("%s: no damage", damage)
		}
		set(t, want)
		if got := nft(t, "list ruleset"); got != good {
			t.Errorf("after %s the ruleset is\n%s\nwant\n%s", damage, got, good)
		}
	}
}

// From every state to every other, at random.
func TestTheSetsAreThoseOfTheLastCall(t *testing.T) {
	namespace.Enter(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		var want []netip.Prefix
		for range r.IntN(8) {
			addr := netip.AddrFrom4([4]byte{10, 96, byte(r.IntN(2)), byte(r.IntN(256))})
			if r.IntN(3) == 0 {
				addr = netip.AddrFrom16([16]byte{0xfd, 0, 15: byte(r.IntN(256))})
			}
			p, err := addr.Prefix(addr.BitLen() - r.IntN(9))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, p)
		}
		set(t, want)
		if there, err := (Filter{}).Present(); err != nil || there != (len(want) > 0) {
			t.Fatalf("%v: there is a table: %t, %v", want, there, err)
		}
		for i := range byte(100) {
			for _, addr := range []netip.Addr{netip.AddrFrom4([4]byte{10, 96, i % 2, i * 5}), netip.AddrFrom16([16]byte{0xfd, 0, 15: i * 5})} {
				if inside := matches(want, addr); len(want) > 0 && i%25 == 0 && has(t, addr) != inside {
					t.Fatalf("%s is among %v: %t, and in the set: %t", addr, want, inside, !inside)
				}
			}
		}
	}
}

func matches(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// has asks the kernel whether an address is in a set.
func has(t *testing.T, addr netip.Addr) bool {
	t.Helper()
	name := setName4
	if addr.Is6() {
		name = setName6
	}
	return exec.CommandContext(t.Context(), "nft", "get", "element", "inet", TableName, name, "{", addr.String(), "}").Run() == nil
}

// More elements than one message has room for.
func TestALargeSetIsWrittenWholeAndReadAgain(t *testing.T) {
	namespace.Enter(t)
	var want []netip.Prefix
	for i := range 20_000 {
		want = append(want, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 15), byte(i >> 7), byte(i << 1)}), 32))
	}
	set(t, want)
	if got := 1 + strings.Count(nft(t, "list set inet fairway unowned-ipv4"), ","); got != len(want) {
		t.Errorf("%d elements, want %d", got, len(want))
	}
	before := nft(t, "-a list chain inet fairway refuse-unowned")
	set(t, want)
	if nft(t, "-a list chain inet fairway refuse-unowned") != before {
		t.Error("it was written again, and so not read as it is")
	}
}

func TestWithoutTheRightItIsSaidWhichOneIsMissing(t *testing.T) {
	namespace.Enter(t)
	var caps [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	err := (Filter{}).Set(t.Context(), prefixes("10.96.0.0/24"))
	if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("got %v", err)
	}
}

func TestAKernelWithoutNftablesIsNamed(t *testing.T) {
	for _, err := range []error{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.ENOENT, unix.EOPNOTSUPP} {
		if said := inWords(err); !errors.Is(said, ErrUnsupported) || !errors.Is(said, err) {
			t.Errorf("%v becomes %v", err, said)
		}
	}
	if said := inWords(unix.ENOBUFS); errors.Is(said, ErrUnsupported) || !errors.Is(said, unix.ENOBUFS) {
		t.Errorf("another error becomes %v", said)
	}
}

// Somebody flushes everything, again and again, while the table is looked at and written.
func TestToBeFlushedMeanwhileIsNoError(t *testing.T) {
	namespace.Enter(t)
	want := prefixes("10.96.0.0/24", "fd00:96::/112")
	set(t, want)
	flusher := exec.CommandContext(t.Context(), "sh", "-c", "for i in $(seq 100); do nft flush ruleset; done")
	if err := flusher.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- flusher.Wait() }()
	for running := true; running; {
		select {
		case err := <-ended:
			if running = false; err != nil {
				t.Fatal(err)
			}
		default:
		}
		set(t, want)
	}
	if got := nft(t, "list ruleset"); !strings.Contains(got, "fd00:96::/112") {
		t.Errorf("the ruleset is\n%s", got)
	}
}
