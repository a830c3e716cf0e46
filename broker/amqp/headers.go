package amqp

import (
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
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

// contextOf turns headers into context data: Nameko's prefix goes, headers of
// others stay under their own names, those that are about the message and not
// about the work are left out.
func contextOf(headers wire.Table) map[string]any {
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

// valueOf turns what was decoded into the types of
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
	case wire.Decimal:
		return float64(v.Value) / math.Pow10(int(v.Scale))
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = valueOf(e)
		}
		return list
	case wire.Table:
		if inner, ok := v[contextdata.MapKey].(wire.Table); ok && len(v) == 1 {
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

func mapOf(t wire.Table) map[string]any {
	m := make(map[string]any, len(t))
	for k, v := range t {
		m[k] = valueOf(v)
	}
	return m
}

// guard logs a panic and sets *err to it, unless err is nil. Defer it in code that
// reads what other programs have written.
func guard(log *slog.Logger, what string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	failure := broker.Ended(p)
	log.Error(what+" can't be read", "error", failure, "stack", string(debug.Stack()))
	if err != nil {
		*err = failure
	}
}
