package enoki

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// This file holds the arguments that Python declares by *args and **kwargs.

// has tells whether m has a parameter of a kind.
func (m *method) has(kind paramKind) bool {
	return m.open && slices.ContainsFunc(m.params, func(p param) bool { return p.kind == kind })
}

// rest returns what a caller gives by position beyond the arguments that have
// names.
func (m *method) rest(args []reflect.Value) (list []reflect.Value) {
	if !m.has(restByList) {
		return nil
	}
	for _, v := range args[m.byPlace].Seq2() {
		list = append(list, v)
	}
	return list
}

func (m *method) appendRest(b []byte, rest []reflect.Value, after bool) ([]byte, error) {
	for _, v := range rest {
		if after {
			b = append(b, ',')
		}
		after = true
		var err error
		if b, err = appendJSON(b, quickjson.Of(v.Type()), v); err != nil {
			if m.params[m.byPlace].secret {
				err = hushed(err, "it can't be encoded")
			}
			return nil, Errorf(InvalidArgument, "%s() argument %s: %w", m.name, m.params[m.byPlace].name, err)
		}
	}
	return b, nil
}

// appendNamed appends what a caller gives by other names than the declared
// ones, in their alphabetical order.
func (m *method) appendNamed(b []byte, args []reflect.Value, separator string) ([]byte, error) {
	if !m.has(restByName) {
		return b, nil
	}
	given := args[len(args)-1]
	keys := given.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		if i := m.indexOf([]byte(key.String())); i >= 0 && m.params[i].kind == ordinary {
			return nil, Errorf(InvalidArgument, "%s() argument %s is given again within %s; give it once", m.name, key, m.params[len(args)-1].name)
		}
		name, err := json.Marshal(key.String())
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, separator...), name...), ':')
		v := given.MapIndex(key)
		if b, err = appendJSON(b, quickjson.Of(v.Type()), v); err != nil {
			if m.params[len(args)-1].secret {
				err = hushed(err, "it can't be encoded")
			}
			return nil, Errorf(InvalidArgument, "%s() argument %s: %w", m.name, key, err)
		}
		separator = ","
	}
	return b, nil
}

// bindRest decodes what the ordinary parameters have left into the others.
func (m *method) bindRest(args []reflect.Value, positional []json.RawMessage, named map[string]json.RawMessage) *Error {
	for i, p := range m.params {
		var refused *Error
		switch p.kind {
		case restByList:
			args[i], refused = p.list(positional[min(m.byPlace, len(positional)):])
		case restByName:
			args[i], refused = m.others(&p, named)
		}
		if refused != nil {
			return refused
		}
	}
	return nil
}

func (p *param) list(given []json.RawMessage) (reflect.Value, *Error) {
	item := param{name: p.name, typ: p.typ.Elem(), secret: p.secret}
	list := reflect.MakeSlice(p.typ, 0, len(given))
	for _, raw := range given {
		v, refused := item.decode(raw)
		if refused != nil {
			return list, refused
		}
		list = reflect.Append(list, v)
	}
	return list, nil
}

// others returns those of named that have no parameter of their own.
func (m *method) others(p *param, named map[string]json.RawMessage) (reflect.Value, *Error) {
	others := reflect.MakeMap(p.typ)
	for name, raw := range named {
		if i := m.indexOf([]byte(name)); i >= 0 && m.params[i].kind == ordinary {
			continue
		}
		item := param{name: name, typ: p.typ.Elem(), secret: p.secret}
		v, refused := item.decode(raw)
		if refused != nil {
			return others, refused
		}
		others.SetMapIndex(reflect.ValueOf(name).Convert(p.typ.Key()), v)
	}
	return others, nil
}
