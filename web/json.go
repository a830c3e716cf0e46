package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"reflect"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// dialect is how bodies are read and written. It is encoding/json with these
// differences. A key must have the exact name of its field and may come only
// once. A nil slice is an empty list and a nil map an empty object. A whole
// number in a value of type any is an int64 or a *big.Int. A url.URL is a text.
// A json.Number is encoding/json's, which the module does not know. dialect is
// read only.
var dialect = jsonv2.JoinOptions(
	jsonv1.DefaultOptionsV1(),
	jsonv2.MatchCaseInsensitiveNames(false),
	jsontext.AllowDuplicateNames(false),
	jsonv2.FormatNilSliceAsNull(false),
	jsonv2.FormatNilMapAsNull(false),
	jsontext.EscapeForHTML(false),
	jsonv1.ReportErrorsWithLegacySemantics(false),
	jsonv2.WithMarshalers(jsonv2.JoinMarshalers(
		jsonv2.MarshalFunc(func(u url.URL) ([]byte, error) { return jsonv2.Marshal(u.String()) }),
		jsonv2.MarshalFunc(func(n json.Number) ([]byte, error) { return json.Marshal(n) }),
	)),
	jsonv2.WithUnmarshalers(jsonv2.JoinUnmarshalers(
		jsonv2.UnmarshalFunc(func(text []byte, u *url.URL) error {
			var plain string
			if err := jsonv2.Unmarshal(text, &plain); err != nil {
				return err
			}
			return u.UnmarshalBinary([]byte(plain))
		}),
		jsonv2.UnmarshalFunc(func(text []byte, n *json.Number) error { return json.Unmarshal(text, n) }),
		jsonv2.UnmarshalFromFunc(unmarshalNumber),
	)),
)

// unmarshalNumber reads a number into an any. It leaves other values to others.
func unmarshalNumber(d *jsontext.Decoder, v *any) error {
	if d.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	text, err := d.ReadValue()
	if err != nil {
		return err
	}
	return quickjson.Unmarshal(text, reflect.ValueOf(v).Elem())
}

// unmarshal reads data into v, which must be settable and zero.
func unmarshal(data []byte, v reflect.Value) error {
	if quickjson.Strict(v.Type()).ReadPlain(data, v) {
		return nil
	}
	v.SetZero()
	return jsonv2.Unmarshal(data, v.Addr().Interface(), dialect)
}

// marshal writes v and a newline. It writes nothing if v can't be encoded.
func marshal(w io.Writer, v any) error {
	text, ok := appendJSON(room(w), v)
	if !ok {
		var err error
		if text, err = jsonv2.Marshal(v, dialect); err != nil {
			return err
		}
	}
	_, err := w.Write(append(text, '\n'))
	return err
}

// room returns a buffer for what will be written to w next.
func room(w io.Writer) []byte {
	if a, ok := w.(*answer); ok {
		return a.held.AvailableBuffer()
	}
	return nil
}

// appendJSON appends v. It refuses types that are not plain, and values that
// may hold escaped HTML.
func appendJSON(b []byte, v any) ([]byte, bool) {
	if v == nil {
		return b, false
	}
	b, ok := quickjson.Strict(reflect.TypeOf(v)).Append(b, reflect.ValueOf(v))
	return b, ok && !bytes.Contains(b, []byte(`\u00`))
}

// appendKey appends a key of an object.
func appendKey(b, key []byte) []byte {
	text, _ := json.Marshal(string(key)) // a string always marshals
	return append(b, text...)
}
