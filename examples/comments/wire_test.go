package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/examples/comments/push"
	"github.com/enoki-go/enoki/examples/comments/register"
	"github.com/enoki-go/enoki/examples/comments/store/bolt"
)

// TestWire looks at what programs without our contracts send and get, such as
// those in Python and the command enoki.
func TestWire(t *testing.T) {
	client := runServices(t)
	type named = map[string]any
	data := named{"name": "Ann", "language": "fr", "country": "CA", "tags": []any{1, nil}}
	for _, c := range []struct {
		service, method string
		args            []any
		kwargs          named
		want            string
	}{
		{"register", "register", []any{"ann@example.com", data}, nil, `["7000000",""]`},
		{"register", "register", nil, named{"email": "ann@example.com", "user_data": named{}}, `["7000000","already registered."]`},
		{"register", "register", []any{"bob@example.com"}, named{"user_data": named{}}, `["7000001",""]`},
		{"register", "register", []any{"", named{}}, nil, `[null,"register failed."]`},
		{"register", "register", []any{nil, named{}}, nil, `[null,"register failed."]`},
		{"register", "register", []any{"x@example.com", nil}, nil, `[null,"register failed."]`},
		{"register", "check_registered", []any{"7000000"}, nil, `{"country":"CA","language":"fr","name":"Ann","tags":[1,null]}`},
		{"register", "check_registered", nil, named{"u_id": 7000001}, `{}`},
		{"register", "check_registered", []any{"7434029"}, nil, `null`},
		{"register", "check_registered", []any{nil}, nil, `null`},
		{"push", "push", []any{"7000000", "Bien!"}, nil, `[true,"push success."]`},
		{"push", "push", nil, named{"u_id": 7000000, "content": ""}, `[true,"push success."]`},
		{"push", "push", []any{"7434029", "hi"}, nil, `[false,"not registered."]`},
		{"push", "notifications", []any{"7434029"}, nil, `[]`},
	} {
		got, err := client.Call(t.Context(), c.service, c.method, c.args, c.kwargs)
		if err != nil || string(got) != c.want {
			t.Errorf("%s.%s(%v, %v): %s, %v; want %s", c.service, c.method, c.args, c.kwargs, got, err, c.want)
		}
	}
	got, err := client.Call(t.Context(), "push", "notifications", []any{"7000000"}, nil)
	var list []struct{ Text, Language string }
	if err == nil {
		err = json.Unmarshal(got, &list)
	}
	if err != nil || len(list) != 2 || list[1].Text != "Nouveau commentaire sur votre article: « Bien! »" || list[1].Language != "fr-CA" {
		t.Errorf("notifications: %s, %v", got, err)
	}
}

// runServices runs register and push until the test ends.
func runServices(t *testing.T) *enoki.Client {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "comments.db"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b := memory.New()
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		o := &enoki.Options{Logger: log, OnReady: func() { close(ready) }}
		ended <- enoki.Run(ctx, b, o, register.New(s, log), push.New(s, log))
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := errors.Join(b.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return enoki.NewClient(b, nil)
}
