package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	liveNode = `
apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {rack: a}}
spec: {podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]}
status: {addresses: [{type: InternalIP, address: 192.0.2.11}, {type: InternalIP, address: "2001:db8::11"}]}
`
	liveOtherNode = `
apiVersion: v1
kind: Node
metadata: {name: node-2}
spec: {podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 192.0.2.12}]}
`
	ourPath  = "path 64512"
	corePath = "path Local local-pref 100"
)

func fairwayObject(kind, name, labels, spec string) string {
	return fmt.Sprintf("apiVersion: bgp.fairway.dev/v1alpha1\nkind: %s\nmetadata: {name: %s, labels: {%s}}\nspec: {%s}\n", kind, name, labels, spec)
}

// liveSpeaker is a BGPSpeaker that has no mesh unless more says otherwise.
func liveSpeaker(more ...string) string {
	spec := []string{"localASN: 64512", "cluster: {podCIDRs: [10.244.0.0/16]}", "topology: {type: None}"}
	return fairwayObject("BGPSpeaker", "default", "", override(spec, more))
}

// livePeer is the BGPPeer of a session.
func livePeer(session string, more ...string) string {
	name, address, _ := strings.Cut(session, "/")
	asn := map[string]string{tor: "65001", core: "64512", third: "65003"}[session]
	spec := []string{"address: " + address, "asn: " + asn, "timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}"}
	return fairwayObject("BGPPeer", name, "role: "+name, override(spec, more))
}

func liveAdvertisement(more ...string) string {
	return fairwayObject("BGPAdvertisement", "default", "", override([]string{"podCIDRs: {}", "services: {addressTypes: [ClusterIP]}"}, more))
}

// override replaces fields, written as "field: value", by those of the same name, and adds
// the others.
func override(spec, more []string) string {
	for _, field := range more {
		name, _, _ := strings.Cut(field, ":")
		replaced := false
		for i, old := range spec {
			if strings.HasPrefix(old, name+":") {
				spec[i], replaced = field, true
			}
		}
		if !replaced {
			spec = append(spec, field)
		}
	}
	return strings.Join(spec, ", ")
}

// liveService is a Service with an endpoint somewhere.
func liveService(name, address, labels string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %[1]s, namespace: default, labels: {%[2]s}}\nspec: {clusterIP: %[3]s, clusterIPs: [%[3]s]}\n"+
		"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %[1]s, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}\n"+
		"addressType: IPv4\nendpoints: [{addresses: [10.244.9.9], nodeName: node-9}]\n", name, labels, address)
}

func liveSecret(data string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: third}\nstringData: {" + data + "}\n"
}

// TestLiveChangesResetNothingButWhatTheySay makes every kind of change while sessions are up.
// The routers' own count of sessions and their uptime tell which were reset.
func TestLiveChangesResetNothingButWhatTheySay(t *testing.T) {
	l := newLiveRig(t)
	l.put("node.yaml", liveNode, "speaker.yaml", liveSpeaker(), "advertisement.yaml", liveAdvertisement(),
		"tor.yaml", livePeer(tor), "core.yaml", livePeer(core))()
	l.n.start("--source=dir:"+l.dir, "--node-name=node-1", "--state-dir="+l.n.Dir()+"/state")
	l.step(step{what: "the start", do: func() {}, ups: []string{tor, core}, seen: func() error {
		return errors.Join(l.hears(tor, pods, ourPath), l.hears(core, pods, corePath), l.kernel(away+" via 192.0.2.1 metric 2048"))
	}})
	l.services()
	l.attributes()
	l.selectors()
	l.imports()
	l.thirdPeer()
	l.prefixLimits()
	l.kernelRoutes()
	l.nodesAndMesh()
	l.mistakes()
	l.resets()
	l.step(step{what: "another number for the node", resets: []string{tor, core, third}, ups: []string{tor, third}, down: []string{core},
		do:   l.put("speaker.yaml", liveSpeaker("localASN: 64513")),
		seen: func() error { return l.hears(tor, pods, "path 64513") },
	})
	l.step(step{what: "the third peer goes", do: l.put("third.yaml", ""), down: []string{third}})
}

func (l *liveRig) services() {
	const web = "10.96.0.80/32"
	l.step(step{what: "a Service comes",
		do:   l.put("web.yaml", liveService("web", "10.96.0.80", "")),
		seen: func() error { return errors.Join(l.hears(tor, web, ourPath), l.hears(core, web, corePath)) }})
	l.step(step{what: "a Service gets another address",
		do:   l.put("web.yaml", liveService("web", "10.96.0.81", "")),
		seen: func() error { return errors.Join(l.hears(tor, web, ""), l.hears(tor, "10.96.0.81/32", ourPath)) }})
	l.step(step{what: "a Service goes",
		do: l.put("web.yaml", ""), seen: func() error { return l.hears(tor, "10.96.0.81/32", "") }})
}

func (l *liveRig) attributes() {
	for _, tt := range []struct{ attributes, tor, core string }{
		{`communities: ["65000:1"]`, ourPath + " communities 65000:1", corePath + " communities 65000:1"},
		{`communities: ["65000:2", "65000:1:2"]`, ourPath + " communities 65000:2 65000:1:2", corePath + " communities 65000:2 65000:1:2"},
		{"med: 50", ourPath + " med 50", corePath + " med 50"},
		{"med: 60", ourPath + " med 60", corePath + " med 60"},
		{"asPathPrepend: 2", ourPath + " 64512 64512", corePath},
		{"localPref: 200", ourPath, "path Local local-pref 200"},
		{"med: 50", ourPath + " med 50", corePath + " med 50"},
	} {
		l.step(step{what: "attributes " + tt.attributes,
			do:   l.put("advertisement.yaml", liveAdvertisement("attributes: {"+tt.attributes+"}")),
			seen: func() error { return errors.Join(l.hears(tor, pods, tt.tor), l.hears(core, pods, tt.core)) }})
	}
	second := func(precedence string) string {
		return fairwayObject("BGPAdvertisement", "second", "", "podCIDRs: {}, attributes: {med: 7}, precedence: "+precedence)
	}
	torHears := func(want string) func() error { return func() error { return l.hears(tor, pods, want) } }
	l.step(step{what: "a second advertisement of the same, before the first", do: l.put("second.yaml", second("1")), seen: torHears(ourPath + " med 7")})
	l.step(step{what: "its precedence changes", do: l.put("second.yaml", second("-1")), seen: torHears(ourPath + " med 50")})
	l.step(step{what: "the first one goes", do: l.put("advertisement.yaml", ""), seen: torHears(ourPath + " med 7")})
	l.step(step{what: "both are gone", do: l.put("second.yaml", ""), seen: torHears("")})
	l.step(step{what: "the first one is back", do: l.put("advertisement.yaml", liveAdvertisement()), seen: torHears(ourPath)})
}

func (l *liveRig) selectors() {
	heard := func(torHears, coreHears string) func() error {
		return func() error { return errors.Join(l.hears(tor, pods, torHears), l.hears(core, pods, coreHears)) }
	}
	l.step(step{what: "an advertisement selects peers", seen: heard(ourPath, ""),
		do: l.put("advertisement.yaml", liveAdvertisement("to: {peerSelector: {matchLabels: {role: tor}}}"))})
	l.step(step{what: "labels of two peers change", seen: heard("", corePath), do: l.put(
		"tor.yaml", strings.Replace(livePeer(tor), "role: tor", "role: none", 1),
		"core.yaml", strings.Replace(livePeer(core), "role: core", "role: tor", 1))})
	l.step(step{what: "labels and selector are as before", seen: heard(ourPath, corePath), do: l.put(
		"tor.yaml", livePeer(tor), "core.yaml", livePeer(core), "advertisement.yaml", liveAdvertisement())})
	l.step(step{what: "an advertisement selects other nodes", seen: heard("", ""),
		do: l.put("advertisement.yaml", liveAdvertisement("nodeSelector: {matchLabels: {rack: b}}"))})
	l.step(step{what: "the Node's labels change", seen: heard(ourPath, corePath),
		do: l.put("node.yaml", strings.Replace(liveNode, "rack: a", "rack: b", 1))})
	l.step(step{what: "all nodes again", do: l.put("node.yaml", liveNode, "advertisement.yaml", liveAdvertisement("services: {addressTypes: [ClusterIP], selector: {matchLabels: {app: web}}}"),
		"web.yaml", liveService("web", "10.96.0.80", "app: web"), "db.yaml", liveService("db", "10.96.0.81", "app: db")),
		seen: func() error {
			return errors.Join(l.hears(tor, "10.96.0.80/32", ourPath), l.hears(tor, "10.96.0.81/32", ""))
		}})
	l.step(step{what: "labels of a Service change", do: l.put("db.yaml", liveService("db", "10.96.0.81", "app: web")),
		seen: func() error { return l.hears(tor, "10.96.0.81/32", ourPath) }})
	l.step(step{what: "all Services again, and none", do: l.put("advertisement.yaml", liveAdvertisement(), "web.yaml", "", "db.yaml", ""),
		seen: func() error { return l.hears(tor, "10.96.0.80/32", "") }})
}

func (l *liveRig) imports() {
	route := func(prefix string) string { return prefix + " via 192.0.2.1 metric 2048" }
	for _, tt := range []struct {
		allow string
		want  []string
	}{
		{"[{prefix: 172.31.0.0/16}]", []string{route(other)}},
		{"[{prefix: 172.31.0.0/16}, {prefix: 10.0.0.0/8, maxLength: 24}]", []string{route(away), route(more), route(other)}},
		{"[]", nil},
	} {
		l.step(step{what: "import rules " + tt.allow,
			do: l.put("tor.yaml", livePeer(tor, "import: {allow: "+tt.allow+"}")), seen: func() error { return l.kernel(tt.want...) }})
	}
	l.step(step{what: "the default import rules", do: l.put("tor.yaml", livePeer(tor)), seen: func() error { return l.kernel(route(away)) }})
	l.step(step{what: "other pod CIDRs of the cluster", do: l.put("speaker.yaml", liveSpeaker("cluster: {podCIDRs: [10.245.0.0/16]}")),
		seen: func() error { return l.kernel(route(more)) }})
	l.step(step{what: "wider pod CIDRs", do: l.put("speaker.yaml", liveSpeaker("cluster: {podCIDRs: [10.244.0.0/15]}")),
		seen: func() error { return l.kernel(route(away), route(more)) }})
	l.step(step{what: "Service CIDRs of the cluster", do: l.put("speaker.yaml", liveSpeaker("cluster: {podCIDRs: [10.244.0.0/15], serviceCIDRs: [10.244.0.0/16]}")),
		seen: func() error { return l.kernel(route(more)) }})
	l.step(step{what: "the pod CIDRs of the Nodes", do: l.put("speaker.yaml", liveSpeaker("cluster: {}")), seen: func() error { return l.kernel() }})
	l.step(step{what: "another Node has one of them", do: l.put("other.yaml", strings.Replace(liveOtherNode, "10.244.2.0", "10.244.100.0", 1)),
		seen: func() error { return l.kernel(route(away)) }})
	l.step(step{what: "the other Node goes", do: l.put("other.yaml", ""), seen: func() error { return l.kernel() }})
	l.step(step{what: "the cluster's own again", do: l.put("speaker.yaml", liveSpeaker()), seen: func() error { return l.kernel(route(away)) }})
}

func (l *liveRig) thirdPeer() {
	l.step(step{what: "a third peer comes", ups: []string{third}, do: l.put("third.yaml", livePeer(third)),
		seen: func() error {
			return errors.Join(l.hears(third, pods, ourPath), l.hears(third, sixes, ourPath),
				l.kernel(away+" metric 2048 nexthop via 192.0.2.1 nexthop via 192.0.2.3"))
		}})
	l.step(step{what: "what the third may tell changes", do: l.put("third.yaml", livePeer(third, "import: {allow: []}")),
		seen: func() error { return l.kernel(away + " via 192.0.2.1 metric 2048") }})
	changed := []string{"timers: {holdTimeSeconds: 6, connectRetrySeconds: 2}", "ebgpMultihopTTL: 3"}
	l.step(step{what: "timers and hops of the third, and what counts from the speaker's next start", seen: l.settled, do: l.put(
		"third.yaml", livePeer(third, changed...),
		"speaker.yaml", liveSpeaker("gracefulRestart: {deferralSeconds: 20, staleSweepSeconds: 60}"))})
	if hold := l.last[third].Hold; hold != 9000 {
		l.t.Errorf("the hold time in use has become %d ms", hold)
	}
	l.step(step{what: "the third no longer selects the node", down: []string{third},
		do: l.put("third.yaml", livePeer(third, append(changed, "nodeSelector: {matchLabels: {rack: b}}")...))})
	l.step(step{what: "the third selects it again", ups: []string{third}, do: l.put("third.yaml", livePeer(third, changed...))})
	if hold := l.last[third].Hold; hold != 6000 {
		l.t.Errorf("the hold time in use is %d ms in a new session", hold)
	}
	l.step(step{what: "what the third may repeat of us, and how much it counts", seen: func() error { return l.kernel(away + " via 192.0.2.3 metric 2048") },
		do: l.put("third.yaml", livePeer(third, append(changed, "allowOwnAS: 2", "import: {localPref: 200}")...))})
	l.step(step{what: "the third is shut down", down: []string{third},
		do: l.put("third.yaml", livePeer(third, append(changed, "adminState: Down", "adminMessage: the rack moves")...)),
		seen: func() error {
			text, err := l.routers[third].VTYSH(l.t.Context(), "show bgp neighbors "+l.n.IPv4().String()+" json")
			if err == nil && !strings.Contains(text, "the rack moves") {
				err = errors.New("the router does not know why:\n" + text)
			}
			return err
		}})
	l.step(step{what: "the third is up again", ups: []string{third}, do: l.put("third.yaml", livePeer(third, changed...))})
	l.step(step{what: "its old timers and hops", seen: l.settled, do: l.put("third.yaml", livePeer(third))})
}

// prefixLimits are about the tor, which tells three prefixes and ours back.
func (l *liveRig) prefixLimits() {
	const node = "BGPNodeState_node-1"
	l.step(step{what: "the tor tells more than it should", do: l.put("tor.yaml", livePeer(tor, "import: {maxPrefixes: 2}")),
		seen: func() error { return l.says(node, "MaxPrefixesExceeded", "tells more than 2 prefixes of IPv4Unicast") }})
	l.step(step{what: "the tor tells more than it may", down: []string{tor},
		do: l.put("tor.yaml", livePeer(tor, "import: {maxPrefixes: 2, maxPrefixesAction: Shutdown}")),
		seen: func() error {
			text, err := l.routers[tor].VTYSH(l.t.Context(), "show bgp neighbors "+l.n.IPv4().String())
			if err == nil && !strings.Contains(text, "Cease/Maximum Number of Prefixes Reached") {
				err = errors.New("the router does not know why:\n" + text)
			}
			return errors.Join(err, l.says(node, "prefixes of IPv4Unicast, and maxPrefixes is 2; it is tried again when maxPrefixes is changed"))
		}})
	l.step(step{what: "the tor may tell more", ups: []string{tor},
		do: l.put("tor.yaml", livePeer(tor, "import: {maxPrefixes: 100, maxPrefixesAction: Shutdown}"))})
	l.step(step{what: "the tor may tell any number", do: l.put("tor.yaml", livePeer(tor)), seen: l.settled})
}

func (l *liveRig) kernelRoutes() {
	const both = " nexthop via 192.0.2.1 nexthop via 192.0.2.3"
	for _, tt := range []struct{ kernel, want string }{
		{"table: 100", away + " table 100 metric 2048" + both},
		{"metric: 512", away + " metric 512" + both},
		{"maxPaths: 1", away + " via 192.0.2.1 metric 2048"},
	} {
		l.step(step{what: "kernel " + tt.kernel, do: l.put("speaker.yaml", liveSpeaker("kernel: {"+tt.kernel+"}")),
			seen: func() error { return l.kernel(tt.want) }})
	}
	l.step(step{what: "a protected prefix", do: l.put("speaker.yaml", liveSpeaker("kernel: {protectedPrefixes: ["+away+"]}")),
		seen: func() error { return l.kernel() }})
	l.step(step{what: "the kernel as before", do: l.put("speaker.yaml", liveSpeaker()),
		seen: func() error { return l.kernel(away + " metric 2048" + both) }})
}

func (l *liveRig) nodesAndMesh() {
	l.step(step{what: "another Node comes, without a mesh", do: l.put("other.yaml", liveOtherNode), seen: l.settled})
	l.step(step{what: "a full mesh", ups: []string{mesh}, do: l.put("speaker.yaml", liveSpeaker("topology: {type: FullMesh}")),
		seen: func() error { return l.hears(mesh, pods, corePath) }})
	l.step(step{what: "the mesh hears of Services", do: l.put("advertisement.yaml", liveAdvertisement("to: {mesh: true}"), "web.yaml", liveService("web", "10.96.0.80", "")),
		seen: func() error {
			return errors.Join(l.hears(mesh, "10.96.0.80/32", corePath), l.hears(tor, "10.96.0.80/32", ourPath))
		}})
	l.step(step{what: "one more Node comes, which is away", do: l.put("absent.yaml", strings.NewReplacer("node-2", "node-3", "10.244.2.0", "10.244.3.0", "2.12", "2.13").Replace(liveOtherNode)), seen: l.settled})
	l.step(step{what: "it goes", do: l.put("absent.yaml", ""), seen: l.settled})
	l.step(step{what: "the node of the mesh goes", down: []string{mesh}, do: l.put("other.yaml", "")})
	l.step(step{what: "and comes back", ups: []string{mesh}, do: l.put("other.yaml", liveOtherNode)})
	l.step(step{what: "no mesh", down: []string{mesh}, do: l.put("speaker.yaml", liveSpeaker(), "advertisement.yaml", liveAdvertisement(), "other.yaml", "", "web.yaml", "")})
}

// mistakes are edits to what cannot work. The last good form has to stay at work.
func (l *liveRig) mistakes() {
	const stays = "the last valid form stays at work"
	before := func() error {
		return errors.Join(l.hears(tor, pods, ourPath), l.hears(core, pods, corePath),
			l.kernel(away+" metric 2048 nexthop via 192.0.2.1 nexthop via 192.0.2.3"))
	}
	for _, tt := range []struct{ file, bad, object string }{
		{"tor.yaml", livePeer(tor, "timers: {holdTimeSeconds: 1}"), "BGPPeer_tor"},
		{"core.yaml", livePeer(core, "address: 192.0.2.300"), "BGPPeer_core"},
		{"advertisement.yaml", liveAdvertisement("attributes: {communities: [nonsense]}"), "BGPAdvertisement_default"},
		{"speaker.yaml", liveSpeaker("localASN: 0"), "BGPSpeaker_default"},
	} {
		l.step(step{what: "a mistake in " + tt.file, do: l.put(tt.file, tt.bad), seen: func() error {
			return errors.Join(l.says(tt.object, "reason: Invalid", stays), before())
		}})
	}
	l.step(step{what: "all are mended", do: l.put(
		"tor.yaml", livePeer(tor), "core.yaml", livePeer(core), "advertisement.yaml", liveAdvertisement(), "speaker.yaml", liveSpeaker()),
		seen: func() error {
			return errors.Join(l.says("BGPPeer_tor", "reason: Accepted"), l.says("BGPPeer_core", "reason: Accepted"),
				l.says("BGPAdvertisement_default", "reason: Accepted"), l.says("BGPSpeaker_default", "reason: Accepted"), before())
		}})
	l.step(step{what: "a second speaker, and a second peer at the tor's address", seen: func() error {
		return errors.Join(l.says("BGPSpeaker_zz", "reason: Conflicted"), l.says("BGPPeer_zz", "reason: Conflicted"), before())
	}, do: l.put("zz.yaml", fairwayObject("BGPSpeaker", "zz", "", "localASN: 65000")+"---\n"+fairwayObject("BGPPeer", "zz", "", "address: 192.0.2.1, asn: 65009"))})
	l.step(step{what: "both go", do: l.put("zz.yaml", ""), seen: l.settled})
}

// resets are the changes that cost a session, each that one alone.
func (l *liveRig) resets() {
	l.step(step{what: "the third gets a password", resets: []string{third}, down: []string{third}, do: l.put(
		"secret.yaml", liveSecret("password: one"), "third.yaml", livePeer(third, "passwordSecretRef: {name: third}"))})
	l.step(step{what: "its router too", ups: []string{third}, do: l.password(third, "one")})
	l.step(step{what: "the Secret is spoilt", do: l.put("secret.yaml", liveSecret("passwort: two")),
		seen: func() error { return l.says("BGPPeer_third", "PasswordUnavailable", "stays with the last password") }})
	l.step(step{what: "the Secret rotates", resets: []string{third}, down: []string{third}, do: l.put("secret.yaml", liveSecret("password: two"))})
	l.step(step{what: "and on the router", ups: []string{third}, do: l.password(third, "two")})
	l.step(step{what: "the third gets one family", resets: []string{third}, ups: []string{third},
		do:   l.put("third.yaml", livePeer(third, "passwordSecretRef: {name: third}", "families: [IPv4Unicast]")),
		seen: func() error { return errors.Join(l.hears(third, pods, ourPath), l.hears(third, sixes, "")) }})
	l.step(step{what: "another number is expected of the third", resets: []string{third}, down: []string{third},
		do: l.put("third.yaml", livePeer(third, "passwordSecretRef: {name: third}", "families: [IPv4Unicast]", "asn: 65004"))})
	for _, field := range []string{"asn: 65003", "localAddress: 192.0.2.11", "gracefulRestart: {enabled: false}"} {
		l.step(step{what: "the third with " + field, resets: []string{third}, ups: []string{third},
			do: l.put("third.yaml", livePeer(third, "passwordSecretRef: {name: third}", "families: [IPv4Unicast]", field))})
	}
	external := func(session, asn string, more ...string) string {
		return strings.Replace(livePeer(session, more...), asn, "asnType: External", 1)
	}
	l.step(step{what: "the third may have any number but ours", resets: []string{third}, ups: []string{third},
		do: l.put("third.yaml", external(third, "asn: 65003", "passwordSecretRef: {name: third}", "gracefulRestart: {enabled: false}"))})
	l.step(step{what: "so may the core, which has ours", resets: []string{core}, down: []string{core}, do: l.put("core.yaml", external(core, "asn: 64512")),
		seen: func() error {
			return l.says("BGPNodeState_node-1", "AS number is 64512, our own, and asnType is External")
		}})
	l.step(step{what: "the core with its number", resets: []string{core}, ups: []string{core}, do: l.put("core.yaml", livePeer(core))})
	l.step(step{what: "the restart time of the speaker, which the third has no part in", resets: []string{tor, core}, ups: []string{tor, core},
		do: l.put("speaker.yaml", liveSpeaker("gracefulRestart: {restartTimeSeconds: 60}"))})
}

// password gives a router one for its session with the node; "" takes it away.
func (l *liveRig) password(session, password string) func() {
	line := "neighbor 192.0.2.11 password " + password
	if password == "" {
		line = "no neighbor 192.0.2.11 password"
	}
	return func() {
		l.t.Helper()
		if err := l.routers[session].Configure(l.t.Context(), "router bgp\n "+line+"\n"); err != nil {
			l.t.Fatal(err)
		}
	}
}
