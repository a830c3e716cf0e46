package amqp

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/enoki-go/enoki/internal/contextdata"
)

const (
	contextPrefix = "nameko." // of context data among the headers
	ownPrefix     = "enoki-"  // of this driver's own headers, never context data

	// headerMethodID is nameko-amqp-retry's, and so is headerBackoff.
	headerMethodID = contextPrefix + "rpc_method_id"
	headerBackoff  = "backoff"

	headerOneWay = ownPrefix + "oneway" // of a request whose reply nobody reads
)

// fieldOf turns a value into what the client library encodes as py-amqp does:
// an int takes 32 bits if they suffice and else 64.
func fieldOf(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d lists and maps in each other can't travel", maxDepth)
	}
	switch v := v.(type) {
	case float64:
		return v, checkFloat(v)
	case nil, bool, string, time.Time:
		return v, nil
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			f, err := fieldOf(e, depth+1)
			if err != nil {
				return nil, err
			}
			list[i] = f
		}
		return list, nil
	case map[string]any:
		table := make(amqp091.Table, len(v))
		for k, e := range v {
			f, err := fieldOf(e, depth+1)
			if err != nil {
				return nil, err
			}
			table[k] = f
		}
		return table, nil
	}
	switch v := reflect.ValueOf(v); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intField(v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Uint() <= math.MaxInt64 {
			return intField(int64(v.Uint())), nil
		}
	}
	return nil, fmt.Errorf("a value of type %T can't travel; use bool, an integer of up to 64 bits with sign, float64, string, time.Time, []any or map[string]any", v)
}

func intField(n int64) any {
	if math.MinInt32 <= n && n <= math.MaxInt32 {
		return int32(n)
	}
	return n
}

// contextOf turns headers into context data: Nameko's prefix goes, headers of
// others stay under their own names, those that are about the message and not
// about the work are left out.
func contextOf(headers amqp091.Table) map[string]any {
	context := make(map[string]any, len(headers))
	delayed := waited(headers)
	for k, v := range headers {
		bare, prefixed := strings.CutPrefix(k, contextPrefix)
		if v == nil || k == headerCompression || k == headerMethodID || strings.HasPrefix(k, ownPrefix) || bare == headerLeft || bare == headerDeadline || delayed && isWaitHeader(k) {
			continue
		}
		if _, taken := context[bare]; taken && !prefixed {
			continue
		}
		context[bare] = valueOf(v)
	}
	return context
}

// valueOf turns what the client library decoded into the types of
// broker.Message.Context.
func valueOf(field any) any {
	switch v := field.(type) {
	case byte:
		return int64(v)
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	case float32:
		return float64(v)
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC()
	case amqp091.Decimal:
		return float64(v.Value) / math.Pow10(int(v.Scale))
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = valueOf(e)
		}
		return list
	case amqp091.Table:
		if inner, ok := v[contextdata.MapKey].(amqp091.Table); ok && len(v) == 1 {
			return mapOf(inner)
		}
		return contextdata.Meant(mapOf(v))
	}
	return field // nil, bool, int64, float64, string
}

// countOf reads a header that counts. What a stranger has written must not make
// the next number negative, not even in 32 bits.
func countOf(field any) int64 {
	n, _ := valueOf(field).(int64)
	return min(max(n, 0), math.MaxInt32-1)
}

func mapOf(t amqp091.Table) map[string]any {
	m := make(map[string]any, len(t))
	for k, v := range t {
		m[k] = valueOf(v)
	}
	return m
}
