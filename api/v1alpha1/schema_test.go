package v1alpha1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// node is what these tests read of a schema.
type node struct {
	Type, Description    string
	Default              any
	Properties           map[string]*node
	Items                *node
	AdditionalProperties *node
	MaxItems, MaxLength  *int64
	Enum                 []string
	Format               string
	Rules                []struct{ Rule, Message string } `json:"x-kubernetes-validations"`
}

type definition struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		Group    string
		Scope    string
		Names    struct{ Kind, Plural string }
		Versions []struct {
			Name         string
			Schema       struct{ OpenAPIV3Schema *node }
			Subresources struct{ Status *struct{} }
		}
	}
}

// definitions returns the generated CRDs by kind.
func definitions(t *testing.T) map[string]definition {
	t.Helper()
	files, err := filepath.Glob("../../deploy/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]definition{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd definition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[crd.Spec.Names.Kind] = crd
	}
	if len(out) != 4 {
		t.Fatalf("%d CRDs in deploy/crds, want 4", len(out))
	}
	return out
}

func TestCRDsCarryGroupScopeVersionAndBundle(t *testing.T) {
	want := map[string]string{
		v1alpha1.KindBGPSpeaker:       v1alpha1.ResourceBGPSpeakers,
		v1alpha1.KindBGPPeer:          v1alpha1.ResourceBGPPeers,
		v1alpha1.KindBGPAdvertisement: v1alpha1.ResourceBGPAdvertisements,
		v1alpha1.KindBGPNodeState:     v1alpha1.ResourceBGPNodeStates,
	}
	for kind, crd := range definitions(t) {
		version := crd.Spec.Versions[0]
		if crd.Spec.Names.Plural != want[kind] || crd.Spec.Group != v1alpha1.GroupName ||
			crd.Spec.Scope != "Cluster" || version.Name != v1alpha1.SchemeGroupVersion.Version {
			t.Errorf("%s is %s in %s/%s, scope %s", kind, crd.Spec.Names.Plural, crd.Spec.Group, version.Name, crd.Spec.Scope)
		}
		if version.Subresources.Status == nil {
			t.Errorf("%s has no status subresource", kind)
		}
		if got := crd.Metadata.Labels[v1alpha1.LabelBundleVersion]; got != v1alpha1.BundleVersion {
			t.Errorf("%s: bundle version %q, want %q", kind, got, v1alpha1.BundleVersion)
		}
	}
}

// Without bounds the API server's estimate of what a rule may cost goes past its budget,
// and it refuses the CRD.
func TestEveryListAndTextHasABound(t *testing.T) {
	for kind, crd := range definitions(t) {
		root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, part := range []string{"spec", "status"} {
			if n := root.Properties[part]; n != nil {
				for _, path := range n.unbounded(kind + "." + part) {
					t.Errorf("%s has neither maxItems nor maxLength", path)
				}
			}
		}
	}
}

func TestUnboundedFindsListsAndTexts(t *testing.T) {
	n := &node{Type: "object", Properties: map[string]*node{
		"list": {Type: "array", Items: &node{Type: "string"}},
		"ok":   {Type: "string", Enum: []string{"A"}},
	}}
	if got := strings.Join(n.unbounded("x"), " "); got != "x.list x.list[]" {
		t.Errorf("found %q", got)
	}
}

// unbounded leaves out label selectors and times, whose schema comes from Kubernetes.
func (n *node) unbounded(path string) []string {
	var out []string
	switch {
	case n.Properties["matchLabels"] != nil && n.Properties["matchExpressions"] != nil:
		return nil
	case n.Type == "array" && n.MaxItems == nil, n.Type == "string" && n.MaxLength == nil && n.Enum == nil && n.Format == "":
		out = append(out, path)
	}
	for name, property := range n.Properties {
		out = append(out, property.unbounded(path+"."+name)...)
	}
	if n.Items != nil {
		out = append(out, n.Items.unbounded(path+"[]")...)
	}
	return out
}

// kubectl explain wraps at 76 columns and keeps the line breaks of the comments: longer
// lines come out ragged.
func TestDescriptionsFitIntoKubectlExplain(t *testing.T) {
	for kind, crd := range definitions(t) {
		root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, part := range []string{"spec", "status"} {
			if n := root.Properties[part]; n != nil {
				for _, line := range n.wide(kind + "." + part) {
					t.Error(line)
				}
			}
		}
	}
}

func TestWideFindsLongLines(t *testing.T) {
	n := &node{Properties: map[string]*node{"x": {Description: "short\n" + strings.Repeat("ß", 77)}}}
	if got := n.wide("spec"); len(got) != 1 || !strings.HasPrefix(got[0], "spec.x: ") {
		t.Errorf("found %q", got)
	}
}

// wide leaves out what Kubernetes describes: label selectors and conditions.
func (n *node) wide(path string) []string {
	if strings.HasSuffix(path, ".conditions") {
		return nil
	}
	var out []string
	for line := range strings.Lines(n.Description) {
		if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > 76 {
			out = append(out, path+": "+line)
		}
	}
	if n.Items != nil {
		out = append(out, n.Items.wide(path+"[]")...)
	}
	if n.Properties["matchLabels"] != nil {
		return out
	}
	for name, property := range n.Properties {
		out = append(out, property.wide(path+"."+name)...)
	}
	return out
}

// A word like these says what a change does to sessions.
var saysWhatAChangeDoes = regexp.MustCompile(`reset|[Cc]hang\w+ .*(ends|opens|sessions)|ends (all|the|its|with)`)

func TestEveryFieldOfASpecSaysWhatAChangeDoesToSessions(t *testing.T) {
	for kind, crd := range definitions(t) {
		if spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]; spec != nil {
			for _, path := range spec.silent("spec", false) {
				t.Errorf("%s: neither %s nor what it lies in says what a change does to sessions", kind, path)
			}
		}
	}
}

// silent returns the leaves that do not say it, and that lie in nothing that does.
func (n *node) silent(path string, said bool) []string {
	said = said || saysWhatAChangeDoes.MatchString(strings.ReplaceAll(n.Description, "\n", " "))
	for n.Items != nil {
		n = n.Items
	}
	if said || len(n.Properties) == 0 {
		if said {
			return nil
		}
		return []string{path}
	}
	var out []string
	for name, property := range n.Properties {
		out = append(out, property.silent(path+"."+name, said)...)
	}
	return out
}

func TestSilentFindsFieldsThatDoNotSayIt(t *testing.T) {
	n := &node{Properties: map[string]*node{
		"mute": {Description: "mute is a number."},
		"loud": {Description: "loud is a number. Changing it resets\nthe sessions."},
	}}
	if got := n.silent("spec", false); len(got) != 1 || got[0] != "spec.mute" {
		t.Errorf("found %q", got)
	}
}

// valueInWant is what stands before the message of a rule.
var valueInWant = regexp.MustCompile(`^.*Invalid value: ("[^"]*"|\d+): `)

// The rule about changes has no example of its own: the examples are changed into each other.
func TestEveryRuleHasAnExampleThatBreaksIt(t *testing.T) {
	var wants []string
	for _, m := range manifests(t, "invalid") {
		wants = append(wants, valueInWant.ReplaceAllString(m.want, ""))
	}
	for kind, crd := range definitions(t) {
		crd.Spec.Versions[0].Schema.OpenAPIV3Schema.eachRule(func(message string) {
			if strings.Contains(message, "cannot be changed") {
				return
			}
			if !slices.ContainsFunc(wants, func(want string) bool { return strings.HasPrefix(message, want) }) {
				t.Errorf("%s: no example is refused with %q", kind, message)
			}
		})
	}
}

func (n *node) eachRule(do func(message string)) {
	for _, rule := range n.Rules {
		do(rule.Message)
	}
	if n.Items != nil {
		n.Items.eachRule(do)
	}
	for _, property := range n.Properties {
		property.eachRule(do)
	}
}

func TestEveryRuleSaysWhatToWriteInstead(t *testing.T) {
	instead := regexp.MustCompile(`write|leave .* out|make a new`)
	for kind, crd := range definitions(t) {
		crd.Spec.Versions[0].Schema.OpenAPIV3Schema.eachRule(func(message string) {
			if !instead.MatchString(message) {
				t.Errorf("%s: %q", kind, message)
			}
		})
	}
}
