package enoki_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
)

// A caller that was checked is known within the process. Over the broker it is
// a claim, and only when a handler says so.
func TestCaller(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	type contract struct {
		Who func(ctx context.Context) (string, bool, error) `rpc:"who"`
	}
	who := func(ctx context.Context) (string, bool, error) {
		c := enoki.CallerOf(ctx)
		return c.Name, c.Claimed, errors.Join()
	}
	fail := func(ctx context.Context) error { return enoki.Errorf(enoki.NotFound, "nothing") }
	var near contract
	hub := memory.New()
	stop := running(t, hub.Link(), &enoki.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))},
		enoki.NewService("far", enoki.RPC(contract{Who: who}), enoki.Method("fail", fail)), enoki.NewService("near", enoki.Needs("far", &near)))
	ctx := enoki.WithCaller(t.Context(), "anna")
	if c := enoki.CallerOf(ctx); c != (enoki.Caller{Name: "anna"}) {
		t.Errorf("%+v", c)
	}
	if c := enoki.CallerOf(t.Context()); c != (enoki.Caller{}) {
		t.Errorf("%+v", c)
	}
	if name, claimed, err := near.Who(ctx); name != "anna" || claimed || err != nil {
		t.Errorf("in the process: %q, claimed %v, %v", name, claimed, err)
	}
	client := enoki.NewClient(hub.Link(), nil)
	var far contract
	if err := client.Bind("far", &far); err != nil {
		t.Fatal(err)
	}
	if name, _, err := far.Who(ctx); name != "" || err != nil {
		t.Errorf("over the broker unasked: %q, %v", name, err)
	}
	told := enoki.WithContextData(ctx, enoki.CallerKey, enoki.CallerOf(ctx).Name)
	if name, claimed, err := far.Who(told); name != "anna" || !claimed || err != nil {
		t.Errorf("over the broker: %q, claimed %v, %v", name, claimed, err)
	}
	_, err := client.Call(told, "far", "fail", nil, nil)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !errors.Is(err, enoki.NotFound) || !strings.Contains(log.String(), "claimed_caller=anna") {
		t.Errorf("%v; log: %s", err, &log)
	}
}

func TestLogHandler(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(enoki.LogHandler(enoki.LogHandler(slog.NewTextHandler(&log, nil)))).With("service", "x")
	ctx := enoki.WithCaller(t.Context(), "anna")
	logger.InfoContext(ctx, "one")
	logger.InfoContext(t.Context(), "two")
	lines := strings.Split(log.String(), "\n")
	if strings.Count(lines[0], "caller=anna") != 1 || !strings.Contains(lines[0], "service=x") || strings.Contains(lines[1], "caller") {
		t.Error(log.String())
	}
}
