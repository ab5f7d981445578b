// Package arch keeps the walls between the rooms of ARCHITECTURE.md standing: who may
// import whom, what is confined to one room, and which rooms are pure.
package arch

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestProjectKeepsItsWalls(t *testing.T) {
	found, err := violations(projectRoot())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

func TestProjectIsReallyRead(t *testing.T) {
	for _, name := range []string{"go.mod", "bgp", "controller/plan", "cmd/fairway"} {
		if _, err := fs.Stat(projectRoot(), name); err != nil {
			t.Errorf("the test above looks in the wrong place: %v", err)
		}
	}
}

func TestTableNamesEachFolderOnceAndOnlyRooms(t *testing.T) {
	var folders []string
	for _, r := range rooms {
		if slices.Contains(folders, r.folder) {
			t.Errorf("%s is in the table twice", r.folder)
		}
		folders = append(folders, r.folder)
	}
	for _, r := range rooms {
		for _, own := range r.own {
			if !slices.Contains(folders, own) {
				t.Errorf("%s may import %s, which is no room", r.folder, own)
			}
		}
	}
}

// tree is a project of one file.
func tree(name string, source ...string) fs.FS {
	return fstest.MapFS{name: {Data: []byte("package p\n" + strings.Join(source, "\n"))}}
}

func own(folder string) string { return `import "` + module + "/" + folder + `"` }

func TestEachDetectorFires(t *testing.T) {
	for name, c := range map[string]struct {
		tree fs.FS
		want string
	}{
		"a folder that is no room": {
			tree("controller/helpers/a.go"),
			"controller/helpers/a.go:1: folder controller/helpers has no entry",
		},
		"a folder inside a room": {
			tree("controller/plan/inner/a.go"),
			"folder controller/plan/inner has no entry",
		},
		"Go code at the root": {
			tree("a.go"),
			"folder . has no entry",
		},
		"one room importing another that it may not": {
			tree("bgp/a.go", own("routes")),
			"bgp/a.go:2: bgp may not import " + module + "/routes",
		},
		"what is below an allowed room": {
			tree("controller/plan/a.go", own("bgp/gobgp")),
			"controller/plan may not import " + module + "/bgp/gobgp",
		},
		"a foreign package": {
			tree("controller/admin/a.go", `import "github.com/spf13/cobra"`),
			"controller/admin may not import github.com/spf13/cobra",
		},
		"a foreign package whose name only begins alike": {
			tree("controller/snapshot/a.go", `import "k8s.io/apiserver"`),
			"controller/snapshot may not import k8s.io/apiserver",
		},
		"test code in the product": {
			tree("bgp/a.go", own("test/lab")),
			"bgp may not import " + module + "/test/lab",
		},
		"GoBGP in a program": {
			tree("cmd/fairway/a.go", `import api "github.com/osrg/gobgp/v3/api"`),
			"github.com/osrg/gobgp belongs in bgp/gobgp only",
		},
		"netlink in a program": {
			tree("cmd/fairway/a.go", `import "github.com/vishvananda/netlink/nl"`),
			"github.com/vishvananda/netlink belongs in routes only",
		},
		"client-go in the loop": {
			tree("controller/a.go", `import "k8s.io/client-go/kubernetes"`),
			"k8s.io/client-go belongs in controller/kube and cmd only",
		},
		"a log in the plan": {
			tree("controller/plan/a.go", `import "log/slog"`),
			"controller/plan is pure and may not import log/slog",
		},
		"a context in the pools": {
			tree("controller/pools/a.go", `import "context"`),
			"controller/pools is pure and may not import context",
		},
		"a clock in the plan": {
			tree("controller/plan/a.go", `import "time"`, `var at = time.Now()`),
			"controller/plan/a.go:3: time.Now: controller/plan is pure",
		},
		"a clock under another name": {
			tree("controller/pools/a.go", `import clock "time"`, `var read = clock.Since`),
			"controller/pools/a.go:3: time.Since: controller/pools is pure",
		},
		"a clock without a name": {
			tree("controller/plan/a.go", `import . "time"`),
			"time is imported into the file's own names",
		},
		"an empty context below main": {
			tree("controller/a.go", `import "context"`, `var ctx = context.Background()`),
			"controller/a.go:3: context.Background: only a program's main",
		},
		"a context to be chosen later": {
			tree("routes/netlink/a.go", `import "context"`, `var ctx = context.TODO()`),
			"context.TODO: only a program's main",
		},
		"a file for another system": {
			tree("bgp/a_windows.go", own("routes")),
			"bgp may not import " + module + "/routes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := violations(c.tree)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(found, func(v string) bool { return strings.Contains(v, c.want) }) {
				t.Errorf("found %q, want %q among them", found, c.want)
			}
		})
	}
}

func TestDetectorsLeaveTheRestAlone(t *testing.T) {
	for name, tree := range map[string]fs.FS{
		"the standard library and x/sync": tree("bgp/a.go", `import ("net/netip"; "golang.org/x/sync/errgroup")`),
		"what the table allows":           tree("controller/plan/a.go", own("bgp"), `import "k8s.io/apimachinery/pkg/labels"`),
		"durations in the plan":           tree("controller/plan/a.go", `import "time"`, `const hold = 90 * time.Second`),
		"another type's Now":              tree("controller/plan/a.go", `import "time"`, `func f(clock interface{ Now() time.Time }) { clock.Now() }`),
		"a clock elsewhere":               tree("controller/a.go", `import "time"`, `var at = time.Now()`),
		"an empty context in main":        tree("cmd/fairway/main.go", `import "context"`, `var ctx = context.Background()`),
		"tests":                           tree("bgp/a_test.go", own("routes")),
		"what lies in test/":              tree("test/lab/a.go", `import "github.com/vishvananda/netlink"`),
		"sources to test with":            tree("bgp/testdata/a.go", own("routes")),
		"a module of its own": fstest.MapFS{
			"deploy/tool/go.mod": {Data: []byte("module tool")},
			"deploy/tool/a.go":   {Data: []byte("package main")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := violations(tree)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) > 0 {
				t.Errorf("found %q, want nothing", found)
			}
		})
	}
}

func TestSourceThatDoesNotParseIsAnError(t *testing.T) {
	if _, err := violations(tree("bgp/a.go", "func")); err == nil {
		t.Error("no error, so nothing in the file was judged")
	}
}
