package memory

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/enoki-go/enoki/broker"
)

// copyContent returns a message of its own with what of m reaches the other
// side, but for its context data.
func copyContent(m *broker.Message) *broker.Message {
	return &broker.Message{ID: m.ID, ContentType: m.ContentType, Body: bytes.Clone(m.Body)}
}

// copyMessage returns a message of its own with all of m, which must have
// travelled.
func copyMessage(m *broker.Message) *broker.Message {
	c := copyContent(m)
	c.Context, _ = travel(m.Context) // a second time it can't fail
	c.Attempt, c.Redelivered = m.Attempt, m.Redelivered
	c.Instance, c.OneWay = m.Instance, m.OneWay
	return c
}

// travel returns context data as another process would get them: of the types
// that broker.Message allows, without nil, sharing nothing.
func travel(data map[string]any) (map[string]any, error) {
	if data == nil {
		return nil, nil
	}
	arrived := make(map[string]any, len(data))
	for k, v := range data {
		if v == nil {
			continue
		}
		a, err := travelValue(v)
		if err != nil {
			return nil, fmt.Errorf("context data %q: %w", k, err)
		}
		arrived[k] = a
	}
	return arrived, nil
}

func travelValue(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v, nil
	case time.Time:
		return v.Round(0), nil // without the monotonic clock, which belongs to this process
	case map[string]any:
		return travel(v)
	case []any:
		return travelList(v)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32:
		return r.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int64(r.Uint()), nil
	case reflect.Float32:
		return r.Float(), nil
	default:
		return nil, fmt.Errorf("a %T can't travel; use bool, int64, float64, string, time.Time, []any or map[string]any", v)
	}
}

func travelList(list []any) (any, error) {
	arrived := make([]any, len(list))
	for i, v := range list {
		a, err := travelValue(v)
		if err != nil {
			return nil, err
		}
		arrived[i] = a
	}
	return arrived, nil
}

// copyInstance returns a description of its own.
func copyInstance(i broker.Instance) broker.Instance {
	i.Methods = slices.Clone(i.Methods)
	for n, m := range i.Methods {
		i.Methods[n].Args = slices.Clone(m.Args)
		i.Methods[n].Types = slices.Clone(m.Types)
		i.Methods[n].Results = slices.Clone(m.Results)
	}
	i.Handles = slices.Clone(i.Handles)
	i.Emits = slices.Clone(i.Emits)
	i.Crons = slices.Clone(i.Crons)
	return i
}
