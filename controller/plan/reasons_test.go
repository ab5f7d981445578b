package plan_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unseen are reasons that no plan as text can show.
var unseen = map[string]string{
	"NotAdvertised":     "comes from the speaker",
	"UnownedNotRefused": "comes from the kernel",
	"Accepted":          "is not printed",
}

// TestEveryReasonOccursInACase reads the package's own source: a reason that no case shows
// is a rule that no case specifies.
func TestEveryReasonOccursInACase(t *testing.T) {
	values := map[string]string{} // by name of the constant
	for _, file := range []string{"reasons.go", "../../api/v1alpha1/names.go"} {
		for _, m := range regexp.MustCompile(`(?m)^\s*(Reason\w+)\s*= "(\w+)"`).FindAllStringSubmatch(read(t, file), -1) {
			values[m[1]] = m[2]
		}
	}
	used := map[string]bool{}
	sources, _ := filepath.Glob("*.go")
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		for _, name := range regexp.MustCompile(`\bReason[A-Z]\w+`).FindAllString(read(t, source), -1) {
			used[name] = true
		}
	}
	var cases strings.Builder
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		cases.WriteString(read(t, file))
	}
	for name := range used {
		value, known := values[name]
		if !known {
			t.Errorf("%s is used and has no value", name)
		}
		if unseen[value] == "" && !strings.Contains(cases.String(), " "+value+": ") {
			t.Errorf("no case shows the reason %s", value)
		}
	}
	if len(used) < 15 {
		t.Errorf("only %d reasons were found: the test does not see them", len(used))
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
