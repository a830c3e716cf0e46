package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/enoki-go/enoki/fault"
)

func TestResultsRoundTrip(t *testing.T) {
	body, err := EncodeResults([]reflect.Value{reflect.ValueOf("7000000"), reflect.ValueOf(3)})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"result":["7000000",3],"error":null}`; string(body) != want {
		t.Fatalf("got %s, want %s", body, want)
	}
	raw, err := parseReply(body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := signature.decodeResults(raw)
	if err != nil || out[0].String() != "7000000" || out[1].Int() != 3 {
		t.Fatalf("got %v, %v", out, err)
	}
}

func TestResultsThatDoNotFit(t *testing.T) {
	for _, raw := range []string{`"one"`, `["one"]`, `["one",2,3]`, `[1,2]`, ``} {
		if _, err := signature.decodeResults(json.RawMessage(raw)); !errors.Is(err, fault.Internal) {
			t.Errorf("results %s: error %v, want code %s", raw, err, fault.Internal)
		}
	}
}

func TestErrorsOverTheWire(t *testing.T) {
	for _, test := range []struct {
		err  error
		want fault.Error
	}{
		{fault.Errorf(fault.NotFound, "no user %d", 7), fault.Error{Code: fault.NotFound, Type: "NotFound", Path: "enoki.NotFound", Message: "no user 7"}},
		{errors.New("broken"), fault.Error{Code: fault.Unknown, Type: "Error", Path: "enoki.Error", Message: "broken"}},
		{fmt.Errorf("reading: %w", fault.Errorf(fault.NotFound, "gone")), fault.Error{Code: fault.NotFound, Type: "NotFound", Path: "enoki.NotFound", Message: "reading: gone"}},
		{context.DeadlineExceeded, fault.Error{Code: fault.DeadlineExceeded, Type: "DeadlineExceeded", Path: "enoki.DeadlineExceeded", Message: "context deadline exceeded"}},
		{&fault.Error{Code: fault.NotFound, Type: "Gone", Path: "shop.Gone", Message: "gone"}, fault.Error{Code: fault.NotFound, Type: "Gone", Path: "shop.Gone", Message: "gone"}},
		// What one hop says of itself would mislead the next caller.
		{fault.Errorf(fault.UnknownService, "unknown service x"), fault.Error{Code: fault.Unavailable, Type: "UnknownService", Path: "nameko.exceptions.UnknownService", Message: "unknown service x"}},
		{fault.Errorf(fault.NotDelivered, "not sent"), fault.Error{Code: fault.Unavailable, Type: "NotDelivered", Path: "enoki.NotDelivered", Message: "not sent"}},
		{fault.Types(nil).Answer(fault.Errorf(fault.NotDelivered, "not sent")), fault.Error{Code: fault.Unavailable, Type: "RemoteError", Path: "nameko.exceptions.RemoteError", Message: "NotDelivered not sent"}},
		{(&fault.Exception{Type: "ValueError", Path: "builtins.ValueError", Value: "bad"}).Error(),
			fault.Error{Code: fault.Unknown, Type: "RemoteError", Path: "nameko.exceptions.RemoteError", Message: "ValueError bad"}},
	} {
		_, err := parseReply(EncodeFailure(fault.Types(nil).Failure(test.err)))
		var got *fault.Error
		if !errors.As(err, &got) {
			t.Fatalf("%v crossed as %v", test.err, err)
		}
		if got.Code != test.want.Code || got.Type != test.want.Type || got.Path != test.want.Path || got.Message != test.want.Message {
			t.Errorf("%v crossed as %+v, want %+v", test.err, *got, test.want)
		}
		near := fault.Types(nil).Answer(test.err)
		if !reflect.DeepEqual(near, got) {
			t.Errorf("%v: in one process %+v, over the wire %+v", test.err, near, got)
		}
	}
}

func TestErrorFromPython(t *testing.T) {
	_, err := parseReply([]byte(`{"result": null, "error": {"exc_type": "MethodNotFound", "exc_path": "nameko.exceptions.MethodNotFound", "exc_args": ["foo"], "value": "foo"}}`))
	if !errors.Is(err, fault.MethodNotFound) {
		t.Errorf("%v is not %s", err, fault.MethodNotFound)
	}
	// Before 1.5 there was no path, before 1.1.4 a traceback.
	_, err = parseReply([]byte(`{"result": null, "error": {"exc_type": "ValueError", "value": "bad", "traceback": "..."}}`))
	if !errors.Is(err, fault.Unknown) || err.Error() != "ValueError: bad" {
		t.Errorf("got %v, code %s", err, fault.CodeOf(err))
	}
}
