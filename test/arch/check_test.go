package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/fairway-bgp/fairway"

// violations judges every Go file of a tree against the rules of rooms_test.go, except
// tests, what lies in test/, and modules of their own. It returns a sentence for each breach.
func violations(tree fs.FS) ([]string, error) {
	var found []string
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && exempt(tree, name):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parse(tree, name)
		if err != nil {
			return err
		}
		found = append(found, f.violations()...)
		return nil
	})
	return found, err
}

func exempt(tree fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if dir == "test" || base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") {
		return true
	}
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

// file is one parsed Go file and what it was found to break.
type file struct {
	name   string
	folder string
	syntax *ast.File
	fset   *token.FileSet
	found  []string
}

func parse(tree fs.FS, name string) (*file, error) {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	f := &file{name: name, folder: path.Dir(name), fset: token.NewFileSet()}
	f.syntax, err = parser.ParseFile(f.fset, name, source, parser.SkipObjectResolution)
	return f, err
}

func (f *file) violations() []string {
	f.checkRoom()
	f.checkConfined()
	if slices.Contains(pure, f.folder) {
		f.checkPure()
	}
	if !within(f.folder, roots) {
		f.refuseUses("context", []string{"Background", "TODO"}, "only a program's main may start from an empty context")
	}
	return f.found
}

func (f *file) refuse(at token.Pos, format string, args ...any) {
	f.found = append(f.found, fmt.Sprintf("%s:%d: %s", f.name, f.fset.Position(at).Line, fmt.Sprintf(format, args...)))
}

func (f *file) checkRoom() {
	i := slices.IndexFunc(rooms, func(r room) bool { return r.folder == f.folder })
	if i < 0 {
		f.refuse(f.syntax.Package, "folder %s has no entry in the table of rooms (test/arch/rooms_test.go and ARCHITECTURE.md)", f.folder)
		return
	}
	for _, spec := range f.syntax.Imports {
		if imported := pathOf(spec); !rooms[i].allows(imported) {
			f.refuse(spec.Pos(), "%s may not import %s", f.folder, imported)
		}
	}
}

func (r room) allows(imported string) bool {
	if r.anything || isStandard(imported) || below(imported, xSync) {
		return true
	}
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		return slices.Contains(r.own, own)
	}
	return within(imported, r.foreign)
}

func (f *file) checkConfined() {
	for _, spec := range f.syntax.Imports {
		for _, rule := range confined {
			if below(pathOf(spec), rule.path) && !within(f.folder, rule.to) {
				f.refuse(spec.Pos(), "%s belongs in %s only", rule.path, strings.Join(rule.to, " and "))
			}
		}
	}
}

func (f *file) checkPure() {
	for _, spec := range f.syntax.Imports {
		if imported := pathOf(spec); slices.Contains(impure, imported) {
			f.refuse(spec.Pos(), "%s is pure and may not import %s", f.folder, imported)
		}
	}
	f.refuseUses("time", clock, f.folder+" is pure and may not read the clock")
}

// refuseUses refuses names of a package, under whatever name it is imported.
func (f *file) refuseUses(imported string, names []string, why string) {
	for _, spec := range f.syntax.Imports {
		if pathOf(spec) != imported {
			continue
		}
		local := path.Base(imported)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		if local == "." {
			f.refuse(spec.Pos(), "%s is imported into the file's own names, so its use cannot be judged", imported)
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(names, selector.Sel.Name) {
				return true
			}
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == local {
				f.refuse(selector.Pos(), "%s.%s: %s", imported, selector.Sel.Name, why)
			}
			return true
		})
	}
}

func pathOf(spec *ast.ImportSpec) string {
	unquoted, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the parser has checked it
	}
	return unquoted
}

// isStandard goes by Go's own convention: only the standard library has no dot in the
// first part of an import path.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func below(name, parent string) bool { return name == parent || strings.HasPrefix(name, parent+"/") }

func within(name string, parents []string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return below(name, p) })
}

// projectRoot is the tree that this package lies in.
func projectRoot() fs.FS { return os.DirFS("../..") }
