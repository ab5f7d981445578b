package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	base     = "../../deploy/kustomize/base"
	crds     = "../../deploy/crds"
	examples = "../../deploy/examples"
)

// base rendered, once for all tests.
var renderOnce = sync.OnceValues(func() ([]byte, error) {
	folder, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "run", "-C", "kustomize", ".", folder)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	manifests, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, complaints.String())
	}
	return manifests, nil
})

func rendered(t *testing.T) []byte {
	t.Helper()
	manifests, err := renderOnce()
	if err != nil {
		t.Fatalf("rendering %s: %v", base, err)
	}
	return manifests
}

// exampleFiles returns the manifests below deploy/examples by example, that is by folder.
func exampleFiles(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	err := filepath.WalkDir(examples, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(examples, path)
		if err != nil {
			return err
		}
		if filepath.Ext(path) != ".yaml" {
			return fmt.Errorf("%s is no *.yaml file", relative)
		}
		example, _, ok := strings.Cut(relative, string(filepath.Separator))
		if !ok {
			return fmt.Errorf("%s is in no folder of its own", relative)
		}
		files[example] = append(files[example], path)
		return nil
	})
	if err != nil {
		t.Fatalf("looking for examples: %v", err)
	}
	for _, known := range []string{"two-tor-ebgp", "full-mesh", "route-reflectors", "gateways", "mesh-and-tor", "per-rack-asn", "dual-stack", "password", "demo"} {
		if len(files[known]) == 0 {
			t.Errorf("example %s is gone", known)
		}
	}
	return files
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// documents splits a stream of YAML documents.
func documents(t *testing.T, manifests []byte) [][]byte {
	t.Helper()
	var all [][]byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, document)
	}
}

func kindOf(t *testing.T, document []byte) string {
	t.Helper()
	var head struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		t.Fatal(err)
	}
	return head.Kind
}

// only decodes the one object of a kind.
func only[T any](t *testing.T, manifests []byte, kind string) *T {
	t.Helper()
	found := slices.DeleteFunc(documents(t, manifests), func(d []byte) bool { return kindOf(t, d) != kind })
	if len(found) != 1 {
		t.Fatalf("%d objects of kind %s, want 1", len(found), kind)
	}
	obj := new(T)
	if err := yaml.UnmarshalStrict(found[0], obj); err != nil {
		t.Fatal(err)
	}
	return obj
}
