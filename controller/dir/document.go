package dir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// document is one document of a file, as JSON, and where it stands.
type document struct {
	line   int    // of the file on which it begins, from 1
	source []byte // as written
	json   []byte

	tree *yamlv3.Node // of source, once a line was asked for; nil when it has none
	read bool         // whether tree was tried
}

// documents splits a file. A document that is no YAML or JSON is a problem; the others are
// returned all the same, but for JSON, where nothing after the first error can be read.
func documents(file string, data []byte) ([]*document, []Problem) {
	if filepath.Ext(file) == ".json" {
		return jsonDocuments(file, data)
	}
	var docs []*document
	var problems []Problem
	for _, d := range splitYAML(data) {
		if blank(d.source) {
			continue
		}
		asJSON, err := yaml.YAMLToJSONStrict(d.source)
		if err != nil {
			line, message := yamlError(err, d)
			problems = append(problems, Problem{File: file, Line: line, Message: message, Broken: true})
			continue
		}
		d.json = asJSON
		docs = append(docs, d)
	}
	return docs, problems
}

// splitYAML cuts a stream at its document markers: "---" at the start of a line (YAML 1.2,
// section 9.1.4). What follows the marker on its line belongs to the new document.
func splitYAML(data []byte) []*document {
	docs := []*document{{line: 1}}
	for i, text := range bytes.SplitAfter(data, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(text, []byte("---")); ok && (len(rest) == 0 || bytes.ContainsAny(rest[:1], " \t\r\n")) {
			docs = append(docs, &document{line: i + 1})
			text = rest
		}
		last := docs[len(docs)-1]
		last.source = append(last.source, text...)
	}
	return docs
}

// blank reports whether there is nothing but comments and space.
func blank(source []byte) bool {
	for text := range bytes.Lines(source) {
		text = bytes.TrimSpace(text)
		if len(text) > 0 && text[0] != '#' && !bytes.Equal(text, []byte("...")) {
			return false
		}
	}
	return true
}

func jsonDocuments(file string, data []byte) ([]*document, []Problem) {
	var docs []*document
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		switch {
		case err == nil:
			start := int(decoder.InputOffset()) - len(raw)
			docs = append(docs, &document{line: lineAt(data, start), source: raw, json: raw})
			continue
		case errors.Is(err, io.EOF):
			return docs, nil
		}
		offset := len(data)
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			offset = int(syntax.Offset)
		}
		return docs, []Problem{{File: file, Line: lineAt(data, offset), Message: err.Error(), Broken: true}}
	}
}

func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), len(data))], []byte("\n"))
}

var lineInError = regexp.MustCompile(`line (\d+): `)

// countedFromZero are errors of the YAML library's parser, whose lines it counts from zero;
// those of its scanner it counts from one.
var countedFromZero = regexp.MustCompile(`did not find expected (node content|key|'-' indicator|',' or '[\]}]'|<document start>)|found undefined tag handle`)

// yamlError takes the line out of the words of an error about a document that begins at
// start, so that the line counts from the top of the file.
func yamlError(err error, d *document) (line int, message string) {
	message = err.Error()
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n", "  "} {
		message = strings.TrimPrefix(message, prefix)
	}
	message, _, _ = strings.Cut(message, "\n") // the first of several is enough to begin with
	found := lineInError.FindStringSubmatch(message)
	if found == nil {
		return d.lineOf(""), message
	}
	within, _ := strconv.Atoi(found[1])
	message = strings.Replace(message, found[0], "", 1)
	if countedFromZero.MatchString(message) {
		within++
	}
	lines := bytes.Count(bytes.TrimRight(d.source, "\n"), []byte("\n")) + 1
	return d.line + min(max(within, 1), lines) - 1, message
}

// lineOf returns the line of the file on which the field at path stands, in the form
// "spec.allow[2].prefix", or of the deepest of its parents that is found; for the empty
// path the document's first line.
func (d *document) lineOf(path string) int {
	if path == "" {
		return d.line + leadingLines(d.source)
	}
	node := d.root()
	if node == nil {
		return d.line
	}
	line := node.Line
	for _, step := range stepPattern.FindAllString(path, -1) {
		child, at := descend(node, step)
		if child == nil {
			break
		}
		node, line = child, at
	}
	return d.line + line - 1
}

func (d *document) root() *yamlv3.Node {
	if !d.read {
		var tree yamlv3.Node
		if err := yamlv3.Unmarshal(d.source, &tree); err == nil && len(tree.Content) > 0 {
			d.tree = tree.Content[0]
		}
		d.read = true
	}
	return d.tree
}

// leadingLines counts the lines of comments and space before the content.
func leadingLines(source []byte) int {
	n := 0
	for text := range bytes.Lines(source) {
		if text = bytes.TrimSpace(text); len(text) > 0 && text[0] != '#' {
			return n
		}
		n++
	}
	return 0
}

var stepPattern = regexp.MustCompile(`[^.\[\]]+|\[\d+\]`)

// descend goes one step down: to a key's value and the key's line, or to an item and its line.
func descend(node *yamlv3.Node, step string) (child *yamlv3.Node, line int) {
	switch node.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yamlv3.SequenceNode:
		var index int
		if _, err := fmt.Sscanf(step, "[%d]", &index); err == nil && index < len(node.Content) {
			return node.Content[index], node.Content[index].Line
		}
	}
	return nil, 0
}
