package main

// passwordFeatures are about TCP MD5 (RFC 2385), over both families: the same password on both
// sides, another, or none on one of them. Whoever dials, the session comes up with the same
// alone.
func passwordFeatures() []feature {
	var all []feature
	for _, over := range []struct {
		family        family
		router, label string
	}{{ipv4, routerIPv4, "IPv4"}, {ipv6, `"` + routerIPv6 + `"`, "IPv6"}} {
		for _, row := range []struct {
			name         string
			mine, theirs string
			check        func(*cell) error
		}{
			{"MD5", "one", "one", comesUp([]family{over.family})},
			{"MD5, another password", "one", "two", staysDown("i/o timeout", "different passwords")},
			{"MD5, a password on our side only", "one", "", staysDown("i/o timeout", "or the other has none")},
			{"MD5, a password on their side only", "", "one", staysDown("i/o timeout", "when the other side has a password")},
		} {
			f := feature{name: row.name + ", over " + over.label, check: row.check}
			f.ours.peer = []string{"address: " + over.router}
			if row.mine != "" {
				f.ours.peer = append(f.ours.peer, "passwordSecretRef: {name: router}")
				f.ours.more = secret(row.mine)
			}
			f.theirs = func(r *router) {
				overFamily(r, over.family)
				r.sessions[0].password = row.theirs
			}
			all = append(all, f)
		}
	}
	return all
}

// overFamily has the session run over a family, and carry that one.
func overFamily(r *router, f family) {
	if f == ipv6 {
		r.sessions[0].address, r.sessions[0].families = nodeIPv6, []family{ipv6}
		r.routes = []route{{prefix: theirs6}}
	}
}
