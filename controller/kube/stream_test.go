package kube

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// services returns a list as the API server sends it.
func services(t *testing.T, names ...string) []byte {
	t.Helper()
	list := &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: "4711"}}
	for _, name := range names {
		list.Items = append(list.Items, corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	encoder := scheme.Codecs.EncoderForVersion(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), corev1.SchemeGroupVersion)
	data, err := runtime.Encode(encoder, list)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(data []byte) (names []string, meta metav1.ListMeta, err error) {
	err = readList(bufio.NewReader(bytes.NewReader(data)), &meta, func(data []byte) error {
		var s corev1.Service
		if err := s.Unmarshal(data); err != nil {
			return err
		}
		names = append(names, s.Name)
		return nil
	})
	return names, meta, err
}

func TestListIsReadItemByItem(t *testing.T) {
	for _, want := range [][]string{nil, {"a"}, {"a", strings.Repeat("b", 1000), "c"}} {
		names, meta, err := read(services(t, want...))
		if err != nil || !slices.Equal(names, want) || meta.ResourceVersion != "4711" {
			t.Errorf("read %q at %q, %v; want %q", names, meta.ResourceVersion, err, want)
		}
	}
}

// TestListThatIsCutShortIsAnError: what is taken for a whole list takes away what it lacks.
func TestListThatIsCutShortIsAnError(t *testing.T) {
	whole := services(t, "a", strings.Repeat("b", 1000), "c")
	end := bytes.LastIndex(whole, []byte("c")) // some fields that nobody needs follow
	for n := range end {
		if names, _, err := read(whole[:n]); err == nil {
			t.Fatalf("%d of %d bytes are taken for a whole list of %d", n, len(whole), len(names))
		}
	}
}

func TestListInAnotherFormIsToldApart(t *testing.T) {
	if _, _, err := read([]byte(`{"kind":"ServiceList"}`)); !errors.Is(err, errNotProtobuf) {
		t.Errorf("JSON: %v", err)
	}
	for name, rest := range map[string]string{
		"a number in place of a field": "\x10\x01",
		"a number without end":         strings.Repeat("\xff", 20),
		"a field that is too long":     "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	} {
		if _, _, err := read(fmt.Append(nil, protobufPrefix, rest)); err == nil || errors.Is(err, errNotProtobuf) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
