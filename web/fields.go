package web

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// member is a field of a struct as JSON sees it.
type member struct {
	reflect.StructField
	name     string
	index    []int // from the struct, through embedded ones
	tagged   bool  // the name comes from the tag
	omits    bool  // it may be left out: omitempty or omitzero
	isQuoted bool  // its value is written as a string: the option string
}

// membersOf returns the fields of a struct that JSON has, by the rules of
// encoding/json. Of several fields with one name, the least deep one counts. At
// the same depth the one with the name in its tag counts. If that is not
// exactly one, none counts, and clashes has the name.
func membersOf(t reflect.Type) (members []member, clashes []string) {
	all := map[string][]member{}
	collectMembers(t, nil, map[reflect.Type]bool{}, all)
	for name, candidates := range all {
		slices.SortStableFunc(candidates, func(a, b member) int {
			return cmp.Or(cmp.Compare(len(a.index), len(b.index)), -compareBool(a.tagged, b.tagged))
		})
		first := candidates[0]
		if len(candidates) > 1 && len(candidates[1].index) == len(first.index) && candidates[1].tagged == first.tagged {
			clashes = append(clashes, name)
			continue
		}
		members = append(members, first)
	}
	slices.SortFunc(members, func(a, b member) int { return slices.Compare(a.index, b.index) })
	slices.Sort(clashes)
	return members, clashes
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// collectMembers adds the fields of t to all, by their names. path is the index
// of t. above has the types on the way down.
func collectMembers(t reflect.Type, path []int, above map[reflect.Type]bool, all map[string][]member) {
	if above[t] {
		return
	}
	above[t] = true
	defer delete(above, t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag, isTagged := f.Tag.Lookup("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		index := append(slices.Clone(path), i)
		if f.Anonymous && name == "" {
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if embedded.Kind() == reflect.Struct {
				collectMembers(embedded, index, above, all)
				continue
			}
		}
		if !f.IsExported() {
			continue
		}
		m := member{StructField: f, name: cmp.Or(name, f.Name), index: index, tagged: isTagged && name != ""}
		for option := range strings.SplitSeq(options, ",") {
			m.omits = m.omits || option == "omitempty" || option == "omitzero"
			m.isQuoted = m.isQuoted || option == "string" && isQuotable(f.Type)
		}
		all[m.name] = append(all[m.name], m)
	}
}

// isQuotable reports whether the option string applies to the type.
func isQuotable(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return isNumber(t) || t.Kind() == reflect.Bool || t.Kind() == reflect.String
}

func isNumber(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 && t.Kind() != reflect.Uintptr
}

// isOptional reports whether a client may leave the member out.
func (m *member) isOptional() bool {
	if required, isSet := m.Tag.Lookup("required"); isSet {
		return required != "true"
	}
	return m.omits || m.Tag.Get("default") != ""
}
