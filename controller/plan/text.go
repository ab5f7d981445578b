package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/bgp"
)

// String renders the plan as text, one fact a line, in a fixed order: what tests compare
// and people read.
func (p *Plan) String() string {
	var b strings.Builder
	p.writeSpeaker(&b)
	for _, l := range p.Desired.Listens {
		writeListen(&b, l)
	}
	for _, peer := range p.Desired.Peers {
		writePeer(&b, peer)
	}
	p.writeAdvertisements(&b)
	p.writeNotDone(&b)
	return b.String()
}

func (p *Plan) writeSpeaker(b *strings.Builder) {
	c := p.Desired.Config
	if c == nil {
		return
	}
	fmt.Fprintf(b, "speaker %s asn %d router-id %s listen %d", p.Speaker, c.ASN, c.RouterID, c.ListenPort)
	if c.GracefulRestart.Enabled {
		fmt.Fprintf(b, " restart-time %s deferral %s sweep %ds", c.RestartTime, c.Deferral, p.StaleSweepSeconds)
		if c.Notification {
			b.WriteString(" notification")
		}
		if c.LongLived > 0 {
			fmt.Fprintf(b, " long-lived %s", c.LongLived)
		}
	}
	b.WriteByte('\n')
	for _, s := range p.Desired.Stations {
		fmt.Fprintf(b, "bmp %s port %d %s\n", s.Address, s.Port, s.Hears)
	}
	fmt.Fprintf(b, "kernel table %d metric %d max-paths %d\n", p.Kernel.Table, p.Kernel.Metric, p.Kernel.MaxPaths)
}

// writeAdvertisements tells what is said to whom, and what of it is not forwarded.
func (p *Plan) writeAdvertisements(b *strings.Builder) {
	for _, prefix := range slices.SortedFunc(p.Desired.Advertisements.Keys(), netip.Prefix.Compare) {
		audience, _ := p.Desired.Advertisements.Get(prefix)
		for _, export := range audience.Exports {
			fmt.Fprintf(b, "advertise %s to %s", prefix, strings.Join(export.To, " "))
			writeAttributes(b, export.Attributes)
		}
	}
	for _, r := range p.Desired.Relays {
		writeRelay(b, r)
	}
	for _, prefix := range p.Unowned {
		fmt.Fprintf(b, "forward nothing to %s\n", prefix)
	}
}

// writeNotDone tells what is not said, not tried, not as it should be or not accepted, and why.
func (p *Plan) writeNotDone(b *strings.Builder) {
	for _, s := range p.Silences() {
		if amiss(s.Reason) {
			continue // it is among the refusals
		}
		fmt.Fprintf(b, "silent %s of Service/%s %s: %s\n", s.Address, s.Service, s.Reason, s.Message)
	}
	for _, s := range p.silentPrefixes() {
		fmt.Fprintf(b, "silent %s of %s %s: %s\n", s.Subject, s.Object, s.Reason, s.Message)
	}
	for _, r := range p.Resets {
		fmt.Fprintf(b, "resets %s for %s\n", r.Peer, strings.Join(r.Because, ", "))
	}
	for _, w := range p.Withheld {
		fmt.Fprintf(b, "withheld %s\n", w.Object)
	}
	for _, s := range p.Sysctls {
		fmt.Fprintf(b, "sysctl %s\n", s)
	}
	for _, v := range p.Verdicts {
		if !v.Accepted {
			fmt.Fprintf(b, "not accepted %s %s: %s\n", v.Object, v.Reason, v.Message)
		}
	}
	for _, r := range p.Refusals {
		fmt.Fprintf(b, "refused %s", r.Object)
		if r.Subject != "" {
			fmt.Fprintf(b, " %s", r.Subject)
		}
		fmt.Fprintf(b, " %s: %s\n", r.Reason, r.Message)
	}
}

// writeAttributes ends a line with the attributes that something is told with.
func writeAttributes(b *strings.Builder, a bgp.Attributes) {
	if text := a.String(); text != "" {
		fmt.Fprintf(b, " with %s", text)
	}
	b.WriteByte('\n')
}

func writeListen(b *strings.Builder, l bgp.Listen) {
	fmt.Fprintf(b, "listen %s", l.Prefix)
	if l.Password != "" {
		b.WriteString(" password")
	}
	b.WriteByte('\n')
}

// writeRelay tells what is passed on. Who tells it are all peers of the mesh.
func writeRelay(b *strings.Builder, r bgp.Relay) {
	for _, export := range r.Exports {
		for _, rule := range r.Prefixes {
			fmt.Fprintf(b, "relay %s from the mesh to %s", rule, strings.Join(export.To, " "))
			if len(r.NextHops) > 0 {
				fmt.Fprintf(b, " next-hop unchanged in %s", joinedTexts(r.NextHops))
			}
			writeAttributes(b, export.Attributes)
		}
	}
}

func writePeer(b *strings.Builder, p bgp.Peer) {
	put := func(is bool, format string, args ...any) {
		if is {
			fmt.Fprintf(b, format, args...)
		}
	}
	put(!p.AnyExternal, "peer %s asn %d port %d", p.Name, p.ASN, p.Port)
	put(p.AnyExternal, "peer %s asn external port %d", p.Name, p.Port)
	put(p.LocalASN != 0, " local-asn %d", p.LocalASN)
	put(p.LocalAddress.IsValid(), " from %s", p.LocalAddress)
	put(p.Passive, " passive")
	put(p.Password != "", " password")
	put(p.EBGPMultihopTTL > 0, " multihop %d", p.EBGPMultihopTTL)
	put(p.TTLSecurityHops > 0, " ttl-security %d", p.TTLSecurityHops)
	put(p.AddPaths.Receive, " add-paths receive")
	put(p.AddPaths.SendMax > 0, " add-paths send %d", p.AddPaths.SendMax)
	put(p.AllowOwnAS > 0, " allow-own-as %d", p.AllowOwnAS)
	if p.ImportLocalPref != nil {
		put(true, " import-local-pref %d", *p.ImportLocalPref)
	}
	put(p.Limit.Max > 0, " max-prefixes %d", p.Limit.Max)
	put(p.Limit.Shutdown, " shutdown")
	put(p.Limit.Restart > 0, " restart %s", p.Limit.Restart)
	put(true, " timers %s/%s/%s", p.HoldTime, p.Keepalive, p.ConnectRetry)
	put(p.GracefulRestart, " graceful-restart")
	put(p.Down != "", " down: %s", p.Down)
	put(p.Reflection != bgp.NoReflection, " %s", p.Reflection)
	put(p.ClusterID.IsValid(), " cluster %s", p.ClusterID)
	b.WriteByte('\n')
	for _, f := range p.Families {
		nh := "none"
		if a := p.NextHops.For(f); a.IsValid() {
			nh = a.String()
		} else if p.Lends(f) {
			nh = p.NextHops.IPv6.String() + " if the peer takes it"
		}
		fmt.Fprintf(b, "  family %s next-hop %s\n", f, nh)
	}
	for _, r := range p.Import {
		fmt.Fprintf(b, "  import %s\n", r)
	}
}
