package memory

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/contextdata"
)

// copyContent returns a copy of what a message brings to the other side,
// without its context data.
func copyContent(m *broker.Message) *broker.Message {
	return &broker.Message{ID: m.ID, ContentType: m.ContentType, Body: bytes.Clone(m.Body)}
}

// copyMessage returns a full copy of m, whose context data must have passed
// travel.
func copyMessage(m *broker.Message) *broker.Message {
	c := copyContent(m)
	c.Context, _ = travel(m.Context) // it can't fail a second time
	c.Attempt, c.Redelivered = m.Attempt, m.Redelivered
	c.Instance, c.OneWay = m.Instance, m.OneWay
	return c
}

// travel returns context data as another process would get it. It has only the
// types that broker.Message allows, has no nil values, shares nothing, and is
// within the limits of all brokers.
func travel(data map[string]any) (map[string]any, error) {
	if data == nil {
		return nil, nil
	}
	var j journey
	arrived, err := j.members(data, 0)
	if err == nil {
		err = contextdata.CheckSize(j.size)
	}
	if err != nil {
		return nil, fmt.Errorf("context data %w", err)
	}
	return arrived, nil
}

// journey counts roughly how many bytes context data would take.
type journey struct{ size int }

func (j *journey) members(data map[string]any, depth int) (map[string]any, error) {
	if err := contextdata.CheckNesting(len(data), depth); err != nil {
		return nil, err
	}
	arrived := make(map[string]any, len(data))
	for k, v := range data {
		if v == nil {
			continue
		}
		k = contextdata.Text(k)
		if err := contextdata.CheckKey(k); err != nil {
			return nil, err
		}
		j.size += len(k)
		a, err := j.value(v, depth)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", k, err)
		}
		arrived[k] = a
	}
	return arrived, nil
}

func (j *journey) value(v any, depth int) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		return j.members(v, depth+1)
	case []any:
		return j.list(v, depth+1)
	}
	v, err := contextdata.Scalar(v)
	if text, ok := v.(string); ok {
		j.size += len(text)
	}
	return v, err
}

func (j *journey) list(list []any, depth int) (any, error) {
	if err := contextdata.CheckNesting(len(list), depth); err != nil {
		return nil, err
	}
	arrived := make([]any, len(list))
	for i, v := range list {
		a, err := j.value(v, depth)
		if err != nil {
			return nil, err
		}
		arrived[i] = a
	}
	return arrived, nil
}

// copyInstance returns a copy of a description.
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
