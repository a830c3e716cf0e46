package contract

import "reflect"

// itemOf returns the T of an iter.Seq2[T, error], or nil for another type.
func itemOf(t reflect.Type) reflect.Type {
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.NumOut() != 0 || t.IsVariadic() {
		return nil
	}
	yield := t.In(0)
	if yield.Kind() != reflect.Func || yield.NumIn() != 2 || yield.NumOut() != 1 ||
		yield.In(1) != errorType || yield.Out(0).Kind() != reflect.Bool {
		return nil
	}
	return yield.In(0)
}

// The fields of a reply of one instance among several, which package enoki
// declares for users.
const (
	ReplyInstance = iota // string
	ReplyValue
	ReplyErr // error
)

// replyOf returns the type of reply that t is a list of, or nil. It goes by the
// fields: no other struct with an error in it can be a result.
func replyOf(t reflect.Type) reflect.Type {
	if t.Kind() != reflect.Slice || t.Elem().Kind() != reflect.Struct || t.Elem().NumField() != 3 {
		return nil
	}
	reply := t.Elem()
	for i, name := range []string{"Instance", "Value", "Err"} {
		if reply.Field(i).Name != name {
			return nil
		}
	}
	if reply.Field(ReplyInstance).Type.Kind() != reflect.String || reply.Field(ReplyErr).Type != errorType {
		return nil
	}
	return reply
}
