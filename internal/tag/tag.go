// Package tag finds mistakes in the tags of struct fields. Package reflect
// takes a misspelt key for a missing one.
package tag

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/enoki-go/enoki/internal/closest"
)

// Keys returns the keys of a tag, in their order.
func Keys(tag reflect.StructTag) ([]string, error) {
	var keys []string
	for rest := strings.TrimLeft(string(tag), " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		key, value, ok := strings.Cut(rest, ":")
		quoted, err := strconv.QuotedPrefix(value)
		if !ok || err != nil || key == "" || strings.ContainsAny(key, " \"\t") {
			return keys, fmt.Errorf("tag `%s` is not of the form key:\"value\" at %q", tag, rest)
		}
		if slices.Contains(keys, key) {
			return keys, fmt.Errorf("tag `%s` has %s twice", tag, key)
		}
		keys = append(keys, key)
		rest = value[len(quoted):]
	}
	return keys, nil
}

// CheckOwn refuses a tag with a key that is not one of ours. It is for fields
// that nobody else reads.
func CheckOwn(tag reflect.StructTag, ours []string) error {
	keys, err := Keys(tag)
	for _, key := range keys {
		if slices.Contains(ours, key) {
			continue
		}
		if meant := closest.To(key, ours); meant != "" {
			return fmt.Errorf("tag %s is not known; did you mean %s?", key, meant)
		}
		return fmt.Errorf("tag %s is not known; there are %s", key, strings.Join(ours, ", "))
	}
	return err
}

// others are keys of well-known libraries that look like slips of ours.
var others = []string{"bson", "cjson", "form", "title", "headers"}

// CheckShared refuses a tag with a key that is most likely a slip of one of
// ours. It is for fields that other libraries read too.
func CheckShared(tag reflect.StructTag, ours []string) error {
	keys, _ := Keys(tag) // what follows a tag in no form is not ours to judge
	for _, key := range keys {
		if slices.Contains(ours, key) || slices.Contains(others, key) {
			continue
		}
		if meant := closest.Slip(key, ours); meant != "" {
			return fmt.Errorf("tag %s is not known; did you mean %s?", key, meant)
		}
	}
	return nil
}
