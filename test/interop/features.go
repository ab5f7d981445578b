package main

import (
	"errors"
	"fmt"
	"slices"
)

// feature is a row of the table.
type feature struct {
	name string
	// ours and theirs are what differs from the plain session: eBGP over IPv4, each side
	// telling one IPv4 prefix.
	ours   ours
	theirs func(*router)
	// wires adds to the lab before the daemons start.
	wires func(*cell)
	// scripted says that the router needs to be no router: it tells and hears.
	scripted bool
	// check starts the agent if anything is to come of it.
	check func(*cell) error
}

// comesUp starts the agent and waits until the session has carried routes of these families
// both ways, and then for each of the others in turn.
func comesUp(families []family, more ...func(*cell) error) func(*cell) error {
	first := func(c *cell) error { return c.exchanged(families...) }
	return inTurn(append([]func(*cell) error{first}, more...)...)
}

// inTurn starts the agent and waits for each of these in turn. What acts returns nil at once.
func inTurn(checks ...func(*cell) error) func(*cell) error {
	return func(c *cell) error {
		if err := c.start(); err != nil {
			return err
		}
		for _, check := range checks {
			if err := c.until(func() error { return check(c) }); err != nil {
				return err
			}
		}
		return nil
	}
}

// staysDown starts the agent and watches that no session comes up; its status has to say why.
func staysDown(words ...string) func(*cell) error {
	return func(c *cell) error {
		if err := c.start(); err != nil {
			return err
		}
		if err := c.until(func() error { return c.says(words...) }); err != nil {
			return err
		}
		return errors.Join(c.stays(c.down), c.says(words...))
	}
}

var (
	only4 = []family{ipv4}
	only6 = []family{ipv6}
	both  = []family{ipv4, ipv6}
)

// features are all rows, in the order of the table.
func features() []feature {
	return slices.Concat(sessionFeatures, unnumberedFeatures, passwordFeatures(), familyFeatures, attributeFeatures, policyFeatures, restartFeatures, reflectorFeatures, severalFeatures, monitoringFeatures)
}

// one changes the router's session.
func one(change func(*session)) func(*router) {
	return func(r *router) { change(&r.sessions[0]) }
}

// internal makes the router one of our AS.
func internal(r *router) { r.asn = ourASN }

var internalPeer = fmt.Sprintf("asn: %d", ourASN)
