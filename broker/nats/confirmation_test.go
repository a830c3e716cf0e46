package nats

import (
	"errors"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/broker"
)

func TestConfirmation(t *testing.T) {
	for answer, want := range map[string]error{
		`{"stream":"S", "seq":1}`:                   nil,
		`{"stream":"S", "seq":1, "domain":"error"}`: nil,
		`{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"S","seq":0}`: broker.ErrInvalid,
		`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}`:            broker.ErrNotDelivered,
		`junk`: broker.ErrUnknownOutcome,
		`{}`:   broker.ErrUnknownOutcome,
	} {
		if err := confirmation(&natsgo.Msg{Data: []byte(answer)}); !errors.Is(err, want) || (want == broker.ErrNotDelivered && errors.Is(err, broker.ErrInvalid)) {
			t.Errorf("%s: got error %v, want %v", answer, err, want)
		}
	}
}
