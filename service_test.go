package enoki

import (
	"context"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/broker"
)

func TestServiceIsRefused(t *testing.T) {
	type contract struct {
		Hello func(ctx context.Context) error
	}
	nothing := func(context.Context, int) error { return nil }
	own, foreign := NewEvent[int]("svc", "done"), NewEvent[int]("other", "done")
	var emit Emit[int]
	for name, test := range map[string]struct {
		service *Service
		want    string
	}{
		"name":             {NewService("my..svc"), `'.' at position 4`},
		"name with a star": {NewService("my.*"), `'*' at position 4`},
		"name with an end": {NewService("my."), "ends in a dot"},
		"no name":          {NewService(""), "name is empty"},
		"nil function":     {NewService("svc", RPC(contract{})), "Hello is nil; set it"},
		"nil contract":     {NewService("svc", RPC(nil)), "contract is nil"},
		"method twice":     {NewService("svc", Method("a", func(context.Context) error { return nil }), Method("a", func(context.Context) error { return nil })), `"a" is declared twice`},
		"method no func":   {NewService("svc", Method("a", nil)), "has no function"},
		"needs no pointer": {NewService("svc", Needs("other", contract{})), "give a pointer"},
		"foreign event":    {NewService("svc", Emits(foreign, &emit)), "belongs to service other"},
		"same handler":     {NewService("svc", On(own, nothing), On(own, nothing)), "give one another Name"},
		"retry":            {NewService("svc", Subscription[int]{Event: own, Handle: nothing, OnError: Retry{Attempts: -1}}), "at least 1"},
		"nil handler":      {NewService("svc", On(own, nil)), "no handler function"},
		"interval":         {NewService("svc", Every(0, func(context.Context) error { return nil })), "positive"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.service.Check()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			if run := Run(t.Context(), struct{ broker.Broker }{}, nil, test.service); run == nil || run.Error() != err.Error() {
				t.Errorf("Run: %v, want what Check says", run)
			}
		})
	}
}
