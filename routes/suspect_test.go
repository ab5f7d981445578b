package routes

import (
	"fmt"
	"testing"
	"time"
)

// suspicious is a table that has put 3,000 routes, and the kernel.
func suspicious(t *testing.T) (*Table, *kernel, []Key) {
	t.Helper()
	k := newKernel()
	table := NewTable(k, time.Now)
	want := Desired{Complete: true}
	var keys []Key
	for i := range 3000 {
		r := parse(t, fmt.Sprintf("10.%d.%d.0/24 2048 10.0.0.1@1", i/250, i%250))
		want.Routes = append(want.Routes, r)
		keys = append(keys, r.Key)
	}
	must(t, table.Reconcile(t.Context(), want))
	k.pass()
	k.dumps = 0
	return table, k, keys
}

func TestMendCostsWhatIsSuspected(t *testing.T) {
	table, k, keys := suspicious(t)
	delete(k.ours, keys[7])
	k.ours[keys[8]] = parse(t, "10.0.8.0/24 2048 10.0.0.9@1")
	if !table.Suspect(keys[5:10]) || table.Suspect([]Key{parse(t, "172.16.0.0/12 2048 10.0.0.1@1").Key}) {
		t.Error("suspected is not what concerns us")
	}
	must(t, table.Mend(t.Context()))
	if state := table.State(); state.Installed != 3000 || k.dumps != 0 || len(k.log) == 0 || len(k.log) > 5+5 {
		t.Errorf("%d dumps, %v\n%+v", k.dumps, k.log, state)
	}
	if got := k.text(); got != wantedText(table) {
		t.Errorf("the kernel holds %s", got)
	}
	k.pass()
	must(t, table.Mend(t.Context())) // nothing is suspected any more
	if len(k.log) > 0 || k.dumps > 0 {
		t.Errorf("%d dumps, %v", k.dumps, k.log)
	}
}

func TestALinkCostsWhatGoesOverIt(t *testing.T) {
	table, k, keys := suspicious(t)
	far := parse(t, "172.16.0.0/12 2048 10.0.0.1@1 10.0.9.1@9")
	must(t, table.Update(t.Context(), []Change{{Route: &far}}))
	k.pass()
	delete(k.ours, far.Key)
	delete(k.ours, keys[7])
	if table.SuspectLinks([]int{2, 3}) {
		t.Error("a link that no route goes over concerns nobody")
	}
	must(t, table.Mend(t.Context()))
	if len(k.log) > 0 || k.dumps > 0 {
		t.Errorf("the link of a pod costs %d dumps, %v", k.dumps, k.log)
	}
	if !table.SuspectLinks([]int{2, 9}) {
		t.Error("a link with a route of ours concerns nobody")
	}
	must(t, table.Mend(t.Context()))
	if _, back := k.ours[far.Key]; !back || k.dumps > 0 || len(k.log) > 2 {
		t.Errorf("back %t, %d dumps, %v", back, k.dumps, k.log)
	}
	if !table.SuspectLinks([]int{1}) {
		t.Error("the link of all concerns nobody")
	}
	must(t, table.Mend(t.Context()))
	if k.dumps != 1 || k.text() != wantedText(table) {
		t.Errorf("%d dumps, the kernel holds %s", k.dumps, k.text())
	}
}

// A route that a link refused is wanted, though nothing is held: the link concerns it.
func TestALinkConcernsRoutesThatWaitForIt(t *testing.T) {
	table, k, _ := suspicious(t)
	far := parse(t, "172.16.0.0/12 2048 10.0.9.1@9")
	k.broken[far.Key] = true
	if err := table.Update(t.Context(), []Change{{Route: &far}}); err == nil {
		t.Fatal("nothing is broken")
	}
	delete(k.broken, far.Key)
	if !table.SuspectLinks([]int{9}) {
		t.Error("its link concerns nobody")
	}
	must(t, table.Mend(t.Context()))
	if _, held := k.ours[far.Key]; !held {
		t.Errorf("the kernel holds %s", k.text())
	}
}

func TestSuspicionIsBounded(t *testing.T) {
	table, _, keys := suspicious(t)
	for _, key := range keys {
		table.Suspect([]Key{key})
	}
	if s := table.suspects.take(); len(s.keys) != maxSuspects || !s.all {
		t.Errorf("%d keys, all %t", len(s.keys), s.all)
	}
}

func TestAPassOverEverythingAnswersWhatWasSuspectedBefore(t *testing.T) {
	table, k, keys := suspicious(t)
	table.SuspectAll()
	must(t, table.Repair(t.Context()))
	delete(k.ours, keys[7])
	table.Suspect(keys[7:8])
	k.pass()
	k.dumps = 0
	must(t, table.Mend(t.Context()))
	if state := table.State(); state.Installed != 3000 || k.dumps != 0 || k.text() != wantedText(table) {
		t.Errorf("%d dumps, %v\n%+v", k.dumps, k.log, state)
	}
	k.dumpErr = errBroken
	table.SuspectAll()
	if err := table.Repair(t.Context()); err == nil {
		t.Fatal("a dump that failed is no error")
	}
	k.dumpErr, k.dumps = nil, 0
	delete(k.ours, keys[8])
	if must(t, table.Mend(t.Context())); k.dumps != 1 || k.text() != wantedText(table) {
		t.Errorf("after a pass that failed there were %d dumps", k.dumps)
	}
}

func TestMendReadsEverythingWhereThatIsCheaperOrTheOnlyWay(t *testing.T) {
	for name, suspect := range map[string]func(table *Table, k *kernel, keys []Key){
		"more than can be looked at": func(table *Table, _ *kernel, keys []Key) { table.Suspect(keys) },
		"anything":                   func(table *Table, _ *kernel, _ []Key) { table.SuspectAll() },
		"a leftover that nobody wants": func(table *Table, k *kernel, keys []Key) {
			k.broken[keys[0]] = true
			_ = table.Update(t.Context(), []Change{{Key: keys[0]}})
			table.Suspect(keys[:1])
		},
		"a key that the kernel does not tell of, and at which nothing can be put": func(table *Table, k *kernel, keys []Key) {
			k.finds = 0 // so that it is silent about the first
			k.broken[keys[0]] = true
			table.Suspect(keys[:1])
		},
	} {
		table, k, keys := suspicious(t)
		suspect(table, k, keys)
		_ = table.Mend(t.Context())
		if k.dumps != 1 {
			t.Errorf("%s: %d dumps, want 1", name, k.dumps)
		}
	}
}

func wantedText(table *Table) string {
	var list []Route
	for key := range table.wanted {
		r, _ := table.wanted.route(key)
		list = append(list, r)
	}
	return routesText(list)
}
