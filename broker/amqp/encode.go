package amqp

import (
	"fmt"

	"github.com/enoki-go/enoki/broker/amqp/wire"
	"github.com/enoki-go/enoki/internal/contextdata"
)

// appendContext appends context data as headers: each key gets Nameko's
// prefix, a nil value is left out.
func appendContext(b []byte, context map[string]any) ([]byte, error) {
	if err := contextdata.CheckNesting(len(context), 0); err != nil {
		return nil, fmt.Errorf("context data %w", err)
	}
	var err error
	for k, v := range context {
		if v == nil {
			continue
		}
		k = contextdata.Text(k)
		if err := contextdata.CheckKey(k); err != nil {
			return nil, fmt.Errorf("context data: %w", err)
		}
		b = append(append(append(b, byte(len(contextPrefix)+len(k))), contextPrefix...), k...)
		if b, err = appendContextValue(b, v, 0); err != nil {
			return nil, fmt.Errorf("context data %q: %w", k, err)
		}
	}
	return b, nil
}

// appendContextValue appends a value of context data, which is the same on all
// brokers.
func appendContextValue(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case []any:
		return appendContextList(b, v, depth+1)
	case map[string]any:
		if !contextdata.IsAmbiguous(v) {
			return appendContextMap(b, v, depth+1)
		}
		b, from := wire.BeginTable(b)
		b, err := appendContextMap(wire.AppendShort(b, contextdata.MapKey), v, depth+2)
		return wire.End(b, from, err)
	}
	v, err := contextdata.Scalar(v)
	if err != nil {
		return nil, err
	}
	if special, ok := contextdata.Special(v); ok {
		v = special
	}
	return wire.AppendField(b, v, depth)
}

func appendContextList(b []byte, list []any, depth int) ([]byte, error) {
	err := contextdata.CheckNesting(len(list), depth)
	b, from := wire.BeginList(b)
	for _, v := range list {
		if err == nil {
			b, err = appendContextValue(b, v, depth)
		}
	}
	return wire.End(b, from, err)
}

func appendContextMap(b []byte, m map[string]any, depth int) ([]byte, error) {
	err := contextdata.CheckNesting(len(m), depth)
	b, from := wire.BeginTable(b)
	for k, v := range m {
		if v == nil {
			continue
		}
		k = contextdata.Text(k)
		if err == nil {
			err = contextdata.CheckKey(k)
		}
		if err == nil {
			b, err = appendContextValue(wire.AppendShort(b, k), v, depth)
		}
	}
	return wire.End(b, from, err)
}
