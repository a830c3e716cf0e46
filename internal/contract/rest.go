package contract

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/quickjson"
)

// has tells whether m has a parameter of a kind.
func (m *Method) has(kind paramKind) bool {
	return m.open && slices.ContainsFunc(m.params, func(p param) bool { return p.kind == kind })
}

// rest returns what a caller gives by position beyond the arguments that have
// names.
func (m *Method) rest(args []reflect.Value) (list []reflect.Value) {
	if !m.has(restByList) {
		return nil
	}
	for _, v := range args[m.byPlace].Seq2() {
		list = append(list, v)
	}
	return list
}

func (m *Method) appendRest(b []byte, rest []reflect.Value, after bool) ([]byte, error) {
	for _, v := range rest {
		if after {
			b = append(b, ',')
		}
		after = true
		var err error
		if b, err = appendJSON(b, quickjson.Of(v.Type()), v); err != nil {
			if m.params[m.byPlace].secret {
				err = fault.WithText(err, "it can't be encoded")
			}
			return nil, fault.Errorf(fault.InvalidArgument, "%s() argument %s: %w", m.Name, m.params[m.byPlace].name, err)
		}
	}
	return b, nil
}

// appendNamed appends what a caller gives by other names than the declared
// ones, in their alphabetical order.
func (m *Method) appendNamed(b []byte, args []reflect.Value, separator string) ([]byte, error) {
	if !m.has(restByName) {
		return b, nil
	}
	given := args[len(args)-1]
	keys := given.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		if i := m.indexOf([]byte(key.String())); i >= 0 && m.params[i].kind == ordinary {
			return nil, fault.Errorf(fault.InvalidArgument, "%s() argument %s is given again within %s; give it once", m.Name, key, m.params[len(args)-1].name)
		}
		name, err := json.Marshal(key.String())
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, separator...), name...), ':')
		v := given.MapIndex(key)
		if b, err = appendJSON(b, quickjson.Of(v.Type()), v); err != nil {
			if m.params[len(args)-1].secret {
				err = fault.WithText(err, "it can't be encoded")
			}
			return nil, fault.Errorf(fault.InvalidArgument, "%s() argument %s: %w", m.Name, key, err)
		}
		separator = ","
	}
	return b, nil
}

// bindRest decodes what the ordinary parameters have left into the others.
func (m *Method) bindRest(args []reflect.Value, positional []json.RawMessage, named map[string]json.RawMessage) *fault.Error {
	for i, p := range m.params {
		var refused *fault.Error
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

func (p *param) list(given []json.RawMessage) (reflect.Value, *fault.Error) {
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
func (m *Method) others(p *param, named map[string]json.RawMessage) (reflect.Value, *fault.Error) {
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
