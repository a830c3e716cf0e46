package web

import (
	"encoding"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// output is a route's output, ready to be written.
type output struct {
	status     int   // unless the field Status says otherwise
	statusAt   []int // the index of the field Status, or nil
	statuses   []int // the allowed statuses; nil allows every one that is no error
	headers    []header
	body       []int // the index of the field Body, or nil
	isRaw      bool  // the body is sent as it is
	mediaTypes string
}

// header is a field of an output that becomes a header.
type header struct {
	name   string // in canonical form
	index  []int
	layout string // the layout of a time
}

// write responds with out, a pointer to the output's struct.
func (o *output) write(a *answer, out any) error {
	v := reflect.ValueOf(out)
	switch {
	case v.IsNil() && o.body != nil:
		return fmt.Errorf("the handler returned neither an output nor an error")
	case v.IsNil():
		a.WriteHeader(o.status)
		return nil
	}
	v = v.Elem()
	status, err := o.statusOf(v)
	if err != nil {
		return err
	}
	for _, h := range o.headers {
		if err := h.write(a.Header(), v.FieldByIndex(h.index)); err != nil {
			return err
		}
	}
	a.WriteHeader(status)
	if o.body == nil || hasNoBody(status) {
		return nil
	}
	return o.writeBody(a, v.FieldByIndex(o.body))
}

// hasNoBody reports whether a response with the status has no body.
func hasNoBody(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

func (o *output) writeBody(a *answer, body reflect.Value) error {
	header := a.Header()
	if header["Content-Type"] == nil {
		a.set("Content-Type", o.mediaTypes)
	}
	if o.isRaw {
		_, err := a.Write(body.Bytes())
		return err
	}
	return marshal(a, body.Interface())
}

func (o *output) statusOf(v reflect.Value) (int, error) {
	if o.statusAt == nil {
		return o.status, nil
	}
	status := int(v.FieldByIndex(o.statusAt).Int())
	switch {
	case status == 0:
		return o.status, nil
	case o.statuses != nil && !slices.Contains(o.statuses, status):
		return 0, fmt.Errorf("the output's Status is %d, which the enum of the field does not have", status)
	case o.statuses == nil && (status < 200 || status > 399):
		return 0, fmt.Errorf("the output's Status is %d; have 200 to 399, return an error for more, or give the field an enum of what it may be", status)
	}
	return status, nil
}

// write adds the header. It adds none for nil, an empty text and a zero time.
func (h *header) write(to http.Header, v reflect.Value) error {
	if v.Kind() == reflect.Slice && !isText(v.Type()) {
		for i := range v.Len() {
			if err := h.write(to, v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	text, err := h.text(v)
	if err != nil {
		return fmt.Errorf("header %s: %w", h.name, err)
	}
	if text != "" {
		to[h.name] = append(to[h.name], text)
	}
	return nil
}

func (h *header) text(v reflect.Value) (string, error) {
	switch value := v.Interface().(type) {
	case time.Time:
		switch {
		case value.IsZero():
			return "", nil
		case h.layout == http.TimeFormat: // the format has GMT in it
			value = value.UTC()
		}
		return value.Format(h.layout), nil
	case encoding.TextMarshaler:
		text, err := value.MarshalText()
		return string(text), err
	case fmt.Stringer:
		return value.String(), nil
	}
	if v.CanAddr() {
		switch value := v.Addr().Interface().(type) {
		case encoding.TextMarshaler:
			text, err := value.MarshalText()
			return string(text), err
		case fmt.Stringer:
			return value.String(), nil
		}
	}
	switch {
	case v.Kind() == reflect.String:
		return v.String(), nil
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), nil
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), nil
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'f', -1, 64), nil
	}
	return strconv.FormatBool(v.Bool()), nil
}

// isText reports whether the type writes its own text.
func isText(t reflect.Type) bool {
	return implements[encoding.TextMarshaler](t) || implements[fmt.Stringer](t)
}

func isTime(t reflect.Type) bool { return t == reflect.TypeFor[time.Time]() }
