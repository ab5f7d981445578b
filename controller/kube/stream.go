package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// converted is what is kept of an object. A reflector that gathers all there are is given it
// in place of the object.
type converted[V any] struct {
	key   string
	value V
	use   bool // false: the object is of no use
}

// GetObjectKind implements [runtime.Object].
func (c converted[V]) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements [runtime.Object]; values are never changed.
func (c converted[V]) DeepCopyObject() runtime.Object { return c }

// convertedList is a list for a reflector.
type convertedList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object
}

// DeepCopyObject implements [runtime.Object]; items are never changed.
func (l *convertedList) DeepCopyObject() runtime.Object {
	out := *l
	out.Items = append([]runtime.Object(nil), l.Items...)
	return &out
}

// encoded is a pointer to an object that knows its form in protobuf.
type encoded[T any] interface {
	*T
	metav1.Object
	Unmarshal(data []byte) error
}

// newStreamed makes a watch of a kind of which there are thousands. An API server that does not
// stream the initial state sends it as one list, and that list, as bytes and as objects,
// would take many times the memory of what is kept: its items are converted as they come in.
func newStreamed[T any, O encoded[T], L runtime.Object, V any](r reader, of resource, server rest.Interface, client lister[L], into *collection[V], convert func(O) (V, bool)) *watched {
	w := newWatched(r, of, client, into, convert)
	whole := w.list
	w.list = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		body, err := server.Get().Resource(of.name).VersionedParams(&o, scheme.ParameterCodec).Stream(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { _ = body.Close() }() // it was only read
		list := &convertedList{}
		err = readList(bufio.NewReaderSize(body, 64<<10), &list.ListMeta, func(data []byte) error {
			object := O(new(T))
			if err := object.Unmarshal(data); err != nil {
				return err
			}
			value, use := convert(object)
			list.Items = append(list.Items, converted[V]{keyOf(object), value, use})
			return nil
		})
		if errors.Is(err, errNotProtobuf) {
			return whole(ctx, o)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the list of %s: %w", of, err)
		}
		return list, nil
	}
	return w
}

var (
	errNotProtobuf = errors.New("the API server has not answered in protobuf")
	errListCut     = fmt.Errorf("the list is cut short: %w", io.ErrUnexpectedEOF)
)

// protobufPrefix stands before all that Kubernetes encodes so; a runtime.Unknown follows.
const protobufPrefix = "k8s\x00"

// maxItem is more than an API server stores of one object.
const maxItem = 64 << 20

// The fields that are looked at: of runtime.Unknown, and of any list.
const (
	unknownRaw   = 2
	listMetadata = 1
	listItem     = 2
)

// readList reads a list in protobuf, an item at a time. What it gives to item is its own again
// when that returns.
func readList(in *bufio.Reader, meta *metav1.ListMeta, item func(data []byte) error) error {
	if prefix, err := in.Peek(len(protobufPrefix)); err != nil || string(prefix) != protobufPrefix {
		return errNotProtobuf
	}
	_, _ = in.Discard(len(protobufPrefix)) // it was there to be peeked at
	found := false
	outer := &message{in: in, left: math.MaxInt64, open: true}
	err := outer.each(func(number uint64, size int64) error {
		if number != unknownRaw {
			return outer.skip(size)
		}
		found = true
		outer.left -= size
		return readItems(&message{in: in, left: size}, meta, item)
	})
	if err == nil && !found {
		err = errListCut
	}
	return err
}

func readItems(list *message, meta *metav1.ListMeta, item func(data []byte) error) error {
	var buffer []byte
	return list.each(func(number uint64, size int64) (err error) {
		if number != listMetadata && number != listItem {
			return list.skip(size)
		}
		if buffer, err = list.read(buffer, size); err != nil {
			return err
		}
		if number == listMetadata {
			return meta.Unmarshal(buffer)
		}
		return item(buffer)
	})
}

// message reads the fields of a message in protobuf.
type message struct {
	in   *bufio.Reader
	left int64 // bytes
	open bool  // how many are left is not known: it ends with the stream
}

// each calls field for each field, which has to take its bytes.
func (m *message) each(field func(number uint64, size int64) error) error {
	for m.left > 0 {
		if _, err := m.in.Peek(1); err == io.EOF && m.open {
			return nil
		}
		key, err := m.varint()
		if err != nil {
			return err
		}
		const lengthDelimited = 2
		if wireType := key & 7; wireType != lengthDelimited {
			return fmt.Errorf("field %d of a list has the wire type %d, which none has", key>>3, wireType)
		}
		size, err := m.varint()
		if err != nil {
			return err
		}
		if size > uint64(m.left) {
			return errListCut
		}
		if err := field(key>>3, int64(size)); err != nil {
			return err
		}
	}
	return nil
}

func (m *message) varint() (uint64, error) {
	var value uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := m.in.ReadByte()
		if err != nil {
			return 0, early(err)
		}
		m.left--
		if value |= uint64(b&0x7f) << shift; b < 0x80 {
			return value, nil
		}
	}
	return 0, errors.New("a number in a list has no end")
}

func (m *message) skip(size int64) error {
	m.left -= size
	_, err := io.CopyN(io.Discard, m.in, size)
	return early(err)
}

// read fills the buffer, which it makes longer where it has to.
func (m *message) read(buffer []byte, size int64) ([]byte, error) {
	if size > maxItem {
		return nil, fmt.Errorf("an item of a list has %d bytes", size)
	}
	if int64(cap(buffer)) < size {
		buffer = make([]byte, size+size/4)
	}
	buffer = buffer[:size]
	m.left -= size
	_, err := io.ReadFull(m.in, buffer)
	return buffer, early(err)
}

// early tells that a list has ended too early.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errListCut
	}
	return err
}
