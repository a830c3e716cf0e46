package web

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// unmarshal is json.Unmarshal, which is left alone only with what is not
// ordinary, errors among it. Huma reads a body twice, to check it and for the
// handler, so that reading is most of what a request costs.
func unmarshal(data []byte, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() || !target.Elem().IsZero() {
		return json.Unmarshal(data, v)
	}
	target = target.Elem()
	if quickjson.Of(target.Type()).Read(data, target) {
		return nil
	}
	target.SetZero()
	return json.Unmarshal(data, v)
}

// marshal writes v and a line's end. It writes nothing when v can't be encoded.
func marshal(w io.Writer, v any) error {
	text, ok := appendJSON(room(w), v)
	if ok {
		_, err := w.Write(append(text, '\n'))
		return err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// room returns where to encode what will be written to w next.
func room(w io.Writer) []byte {
	if a, ok := w.(*answer); ok {
		return a.held.AvailableBuffer()
	}
	return nil
}

// appendJSON appends v as an encoder does that does not escape HTML. It refuses
// what is not ordinary, and what may hold HTML that was escaped all the same.
func appendJSON(b []byte, v any) ([]byte, bool) {
	if v == nil {
		return b, false
	}
	b, ok := quickjson.Of(reflect.TypeOf(v)).Append(b, reflect.ValueOf(v))
	return b, ok && !bytes.Contains(b, []byte(`\u00`))
}
