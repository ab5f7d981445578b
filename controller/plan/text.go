package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-bgp/fairway/bgp"
)

// String renders the plan as text, one fact a line, in a fixed order: what tests compare
// and people read.
func (p *Plan) String() string {
	var b strings.Builder
	if c := p.Desired.Config; c != nil {
		fmt.Fprintf(&b, "speaker %s asn %d router-id %s listen %d", p.Speaker, c.ASN, c.RouterID, c.ListenPort)
		if c.GracefulRestart.Enabled {
			fmt.Fprintf(&b, " restart-time %s deferral %s sweep %ds", c.RestartTime, c.Deferral, p.StaleSweepSeconds)
			if c.Notification {
				b.WriteString(" notification")
			}
			if c.LongLived > 0 {
				fmt.Fprintf(&b, " long-lived %s", c.LongLived)
			}
		}
		b.WriteByte('\n')
		for _, s := range p.Desired.Stations {
			fmt.Fprintf(&b, "bmp %s port %d %s\n", s.Address, s.Port, s.Hears)
		}
		fmt.Fprintf(&b, "kernel table %d metric %d max-paths %d\n", p.Kernel.Table, p.Kernel.Metric, p.Kernel.MaxPaths)
	}
	for _, l := range p.Desired.Listens {
		writeListen(&b, l)
	}
	for _, peer := range p.Desired.Peers {
		writePeer(&b, peer)
	}
	for _, prefix := range slices.SortedFunc(p.Desired.Advertisements.Keys(), comparePrefixes) {
		audience, _ := p.Desired.Advertisements.Get(prefix)
		for _, export := range audience.Exports {
			fmt.Fprintf(&b, "advertise %s to %s", prefix, strings.Join(export.To, " "))
			if attributes := export.Attributes.String(); attributes != "" {
				fmt.Fprintf(&b, " with %s", attributes)
			}
			b.WriteByte('\n')
		}
	}
	for _, r := range p.Desired.Relays {
		writeRelay(&b, r)
	}
	for _, prefix := range p.Unowned {
		fmt.Fprintf(&b, "forward nothing to %s\n", prefix)
	}
	for _, s := range p.Silences() {
		if amiss(s.Reason) {
			continue // it is among the refusals
		}
		fmt.Fprintf(&b, "silent %s of Service/%s %s: %s\n", s.Address, s.Service, s.Reason, s.Message)
	}
	for _, s := range p.silentPrefixes() {
		fmt.Fprintf(&b, "silent %s of %s %s: %s\n", s.Subject, s.Object, s.Reason, s.Message)
	}
	for _, r := range p.Resets {
		fmt.Fprintf(&b, "resets %s for %s\n", r.Peer, strings.Join(r.Because, ", "))
	}
	for _, w := range p.Withheld {
		fmt.Fprintf(&b, "withheld %s\n", w.Object)
	}
	for _, s := range p.Sysctls {
		fmt.Fprintf(&b, "sysctl %s\n", s)
	}
	for _, v := range p.Verdicts {
		if !v.Accepted {
			fmt.Fprintf(&b, "not accepted %s %s: %s\n", v.Object, v.Reason, v.Message)
		}
	}
	for _, r := range p.Refusals {
		fmt.Fprintf(&b, "refused %s", r.Object)
		if r.Subject != "" {
			fmt.Fprintf(&b, " %s", r.Subject)
		}
		fmt.Fprintf(&b, " %s: %s\n", r.Reason, r.Message)
	}
	return b.String()
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
			if attributes := export.Attributes.String(); attributes != "" {
				fmt.Fprintf(b, " with %s", attributes)
			}
			b.WriteByte('\n')
		}
	}
}

func writePeer(b *strings.Builder, p bgp.Peer) {
	asn := strconv.FormatUint(uint64(p.ASN), 10)
	if p.AnyExternal {
		asn = "external"
	}
	fmt.Fprintf(b, "peer %s asn %s port %d", p.Name, asn, p.Port)
	if p.LocalASN != 0 {
		fmt.Fprintf(b, " local-asn %d", p.LocalASN)
	}
	if p.LocalAddress.IsValid() {
		fmt.Fprintf(b, " from %s", p.LocalAddress)
	}
	if p.Passive {
		b.WriteString(" passive")
	}
	if p.Password != "" {
		b.WriteString(" password")
	}
	if p.EBGPMultihopTTL > 0 {
		fmt.Fprintf(b, " multihop %d", p.EBGPMultihopTTL)
	}
	if p.TTLSecurityHops > 0 {
		fmt.Fprintf(b, " ttl-security %d", p.TTLSecurityHops)
	}
	if p.AddPaths.Receive {
		b.WriteString(" add-paths receive")
	}
	if p.AddPaths.SendMax > 0 {
		fmt.Fprintf(b, " add-paths send %d", p.AddPaths.SendMax)
	}
	if p.AllowOwnAS > 0 {
		fmt.Fprintf(b, " allow-own-as %d", p.AllowOwnAS)
	}
	if p.ImportLocalPref != nil {
		fmt.Fprintf(b, " import-local-pref %d", *p.ImportLocalPref)
	}
	if p.Limit.Max > 0 {
		fmt.Fprintf(b, " max-prefixes %d", p.Limit.Max)
	}
	if p.Limit.Shutdown {
		b.WriteString(" shutdown")
	}
	if p.Limit.Restart > 0 {
		fmt.Fprintf(b, " restart %s", p.Limit.Restart)
	}
	fmt.Fprintf(b, " timers %s/%s/%s", p.HoldTime, p.Keepalive, p.ConnectRetry)
	if p.GracefulRestart {
		b.WriteString(" graceful-restart")
	}
	if p.Down != "" {
		fmt.Fprintf(b, " down: %s", p.Down)
	}
	if p.Reflection != bgp.NoReflection {
		fmt.Fprintf(b, " %s", p.Reflection)
	}
	if p.ClusterID.IsValid() {
		fmt.Fprintf(b, " cluster %s", p.ClusterID)
	}
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
