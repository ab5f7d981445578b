package gobgp

import (
	api "github.com/osrg/gobgp/v3/api"
)

const (
	gracefulShutdown = "graceful-shutdown"
	// lastChoice is the LOCAL_PREF of what a peer is about to withdraw. RFC 8326 recommends 0, which GoBGP
	// takes for none.
	lastChoice = 1
)

// shutdownStatement gives what external peers mark with GRACEFUL_SHUTDOWN the least LOCAL_PREF (RFC 8326,
// section 4.1), so that another path is taken before theirs goes. It goes on to the statements that accept.
func (b *policyBuilder) shutdownStatement() *api.Statement {
	b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_COMMUNITY, Name: gracefulShutdown, List: []string{"65535:0"}})
	return &api.Statement{
		Name:       "import-" + gracefulShutdown,
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_EXTERNAL, CommunitySet: shuttingDown()},
		Actions:    &api.Actions{LocalPref: &api.LocalPrefAction{Value: lastChoice}},
	}
}

func shuttingDown() *api.MatchSet {
	return &api.MatchSet{Type: api.MatchSet_ANY, Name: gracefulShutdown}
}

// unlessShuttingDown returns the statements that stand for one that accepts: where that sets a LOCAL_PREF,
// another one before it spares what is marked with GRACEFUL_SHUTDOWN.
func unlessShuttingDown(accept *api.Statement) []*api.Statement {
	if accept.Actions.LocalPref == nil {
		return []*api.Statement{accept}
	}
	actions := marking(0, nil)
	actions.LargeCommunity = accept.Actions.LargeCommunity
	return []*api.Statement{{
		Name: accept.Name + "-" + gracefulShutdown,
		Conditions: &api.Conditions{
			PrefixSet: accept.Conditions.PrefixSet, NeighborSet: accept.Conditions.NeighborSet,
			RouteType: api.Conditions_ROUTE_TYPE_EXTERNAL, CommunitySet: shuttingDown(),
		},
		Actions: actions,
	}, accept}
}
