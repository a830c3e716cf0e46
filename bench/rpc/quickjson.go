package rpc

import (
	"encoding/json"
	"reflect"

	"github.com/enoki-go/enoki/internal/quickjson"
)

// quick is the codec that Enoki uses, for cases by hand that are to differ in
// nothing else.
func quick() codec {
	q := quickCodecs{}
	for _, v := range []any{&request{}, &reply{}} {
		t := reflect.TypeOf(v).Elem()
		q[t] = quickjson.Of(t)
	}
	return codec{q.marshal, q.unmarshal}
}

type quickCodecs map[reflect.Type]*quickjson.Codec

func (q quickCodecs) marshal(v any) ([]byte, error) {
	value := reflect.ValueOf(v).Elem()
	if text, ok := q[value.Type()].Append(make([]byte, 0, 512), value); ok {
		return text, nil
	}
	return json.Marshal(v)
}

func (q quickCodecs) unmarshal(data []byte, v any) error {
	value := reflect.ValueOf(v).Elem()
	if q[value.Type()].Read(data, value) {
		return nil
	}
	value.SetZero()
	return json.Unmarshal(data, v)
}
