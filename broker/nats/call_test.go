package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

func serves(fn func(context.Context, string, *broker.Message) *broker.Message) broker.Service {
	return broker.Service{Instance: broker.Instance{Name: "register", Version: "1.2.3", Methods: []broker.Method{
		{Name: "check", Args: []string{"u_id", "lang?"}, Types: []string{"string", "string"}, Results: []string{"*Profile"}},
	}}, Serve: fn}
}

func TestOddNames(t *testing.T) {
	link := open(t, nats.Config{InProcess: startEmbedded(t, embedded.Options{})})
	join(t, link, serves(func(_ context.Context, method string, _ *broker.Message) *broker.Message {
		return &broker.Message{Body: []byte(method)}
	}))
	for _, method := range []string{"", "a.b", "*", ">", "with space", "tab\tand\r\n", "%2E", "größe"} {
		reply, err := link.Call(t.Context(), "register", method, &broker.Message{})
		if err != nil || string(reply.Body) != method {
			t.Errorf("method %q: got %v and error %v", method, reply, err)
		}
	}
	for _, service := range []string{"", "*", ">", "register.check", "reg ister"} {
		_, err := link.Call(t.Context(), service, "check", &broker.Message{})
		if !errors.Is(err, broker.ErrUnknownService) {
			t.Errorf("service %q: got error %v, want ErrUnknownService", service, err)
		}
	}
}

func TestReplyTooLarge(t *testing.T) {
	link := open(t, nats.Config{InProcess: startEmbedded(t, embedded.Options{})})
	join(t, link, serves(func(context.Context, string, *broker.Message) *broker.Message {
		return &broker.Message{Body: make([]byte, tooLarge)}
	}))
	reply, err := link.Call(t.Context(), "register", "check", &broker.Message{})
	if err != nil || !strings.Contains(string(reply.Body), "1048576") {
		t.Errorf("got reply %.200v and error %v, want one that names the limit", reply, err)
	}
}

func TestBadContext(t *testing.T) {
	link := open(t, nats.Config{InProcess: startEmbedded(t, embedded.Options{})})
	_, err := link.Call(t.Context(), "register", "check", &broker.Message{Context: map[string]any{"key": []byte("x")}})
	if !errors.Is(err, broker.ErrNotDelivered) || !strings.Contains(err.Error(), "key") {
		t.Errorf("got error %v, want ErrNotDelivered and the key", err)
	}
}

// TestCancelsAreForgotten: a cancelled call that waits to be received is
// remembered until it was.
func TestCancelsAreForgotten(t *testing.T) {
	link := open(t, nats.Config{InProcess: startEmbedded(t, embedded.Options{})})
	started, release := make(chan string, 10), make(chan struct{})
	s := serves(func(_ context.Context, method string, req *broker.Message) *broker.Message {
		started <- method
		<-release
		return req
	})
	s.Workers = 1
	join(t, link, s)
	ended := make(chan error, 10)
	call := func(ctx context.Context, method string) {
		go func() {
			_, err := link.Call(ctx, "register", method, &broker.Message{})
			ended <- err
		}()
	}
	call(t.Context(), "first")
	receive(t, "the first handler", started)
	wait := func(want int, count func() int, what string) {
		t.Helper()
		eventually(t, func() error {
			if n := count(); n != want {
				return fmt.Errorf("%d calls %s, want %d", n, what, want)
			}
			return nil
		})
	}
	wait(0, link.WaitingCalls, "wait")
	const waiting = 3 // one of them holds up the others
	ctx, cancel := context.WithCancel(t.Context())
	for range waiting {
		call(ctx, "cancelled")
	}
	wait(waiting, link.WaitingCalls, "wait")
	cancel()
	for range waiting {
		if err := receive(t, "a cancelled call", ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled call: got error %v, want Canceled", err)
		}
	}
	wait(waiting-1, link.CancelledCalls, "are known to be cancelled")
	close(release)
	for range 2 {
		call(t.Context(), "last")
	}
	for range 3 {
		if err := receive(t, "a call", ended); err != nil {
			t.Error(err)
		}
	}
	wait(0, link.CancelledCalls, "are known to be cancelled after all were received that waited")
}

// TestRejectWithoutReply: a request that can't be read, from somebody who
// waits for no reply, becomes a dead letter.
func TestRejectWithoutReply(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	join(t, link, serves(func(context.Context, string, *broker.Message) *broker.Message {
		return &broker.Message{Reject: strings.Repeat("not JSON ", 1000)}
	}))
	nc := client(t, server)
	if err := nc.Publish("enoki.rpc.register.check", []byte("{")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		letters, err := deadLetters(t, link)
		if err != nil || len(letters) == 0 {
			return fmt.Errorf("got no dead letter (error %v)", err)
		}
		l := letters[0]
		if l.Service != "register" || l.Handler != "check" || l.Source != "" || !strings.HasPrefix(l.Reason, "not JSON") || string(l.Message.Body) != "{" {
			t.Errorf("got dead letter %+v with %q", l, l.Message.Body)
		}
		return nil
	})
}

// TestOverrun: requests that find no room to wait are counted.
func TestOverrun(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	started, release := make(chan struct{}, 100_000), make(chan struct{})
	s := serves(func(context.Context, string, *broker.Message) *broker.Message {
		started <- struct{}{}
		<-release
		return &broker.Message{}
	})
	s.Workers = 1
	m := join(t, link, s)
	nc := client(t, server)
	for range 66_000 { // 65,536 may wait
		if err := nc.Publish("enoki.rpc.register.check", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	// What comes back from the server now has all requests before it.
	if _, err := link.Call(t.Context(), "nobody", "m", &broker.Message{}); !errors.Is(err, broker.ErrUnknownService) {
		t.Fatal(err)
	}
	before := link.Stats().Dropped
	if before == 0 {
		t.Error("no dropped request is counted")
	}
	close(release)
	if err := m.Leave(t.Context()); err != nil { // nobody else is there, so it serves what waits
		t.Error(err)
	}
	if after := link.Stats().Dropped; after != before {
		t.Errorf("the count went from %d to %d when the member left", before, after)
	}
	if n, want := len(started), 66_000-int(link.Stats().Dropped); n != want {
		t.Errorf("%d calls were served, want all %d that were not dropped", n, want)
	}
}

func TestMicroProtocol(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	join(t, link, serves(echo))
	for range 3 {
		if _, err := link.Call(t.Context(), "register", "check", &broker.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	nc := client(t, server)
	ask := func(subject string, answer any) {
		t.Helper()
		msg, err := nc.Request(subject, nil, 30*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		if err := json.Unmarshal(msg.Data, answer); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
	for _, of := range []string{"", ".register", ".register.1"} {
		var ping micro.Ping
		ask("$SRV.PING"+of, &ping)
		if ping.Type != micro.PingResponseType || ping.Name != "register" || ping.ID != "1" || ping.Version != "1.2.3" {
			t.Errorf("PING%s: got %+v", of, ping)
		}
		var info micro.Info
		ask("$SRV.INFO"+of, &info)
		if info.Type != micro.InfoResponseType || len(info.Endpoints) != 1 || info.Endpoints[0].Subject != "enoki.rpc.register.check" ||
			info.Endpoints[0].Metadata["signature"] != "check(u_id string, lang? string) (*Profile)" {
			t.Errorf("INFO%s: got %+v", of, info)
		}
		var stats micro.Stats
		ask("$SRV.STATS"+of, &stats)
		if stats.Type != micro.StatsResponseType || len(stats.Endpoints) != 1 || stats.Endpoints[0].NumRequests != 3 {
			t.Errorf("STATS%s: got %+v", of, stats)
		}
	}
}

// TestForeignService: a service made with NATS's own package is shown.
func TestForeignService(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	join(t, link, serves(echo))
	nc := client(t, server)
	foreign, err := micro.AddService(nc, micro.Config{Name: "foreign", Version: "0.1.0",
		Endpoint: &micro.EndpointConfig{Subject: "foreign.add", Handler: micro.HandlerFunc(func(micro.Request) {})}})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Stop()
	if err := nc.Flush(); err != nil { // the server has its subscriptions then
		t.Fatal(err)
	}
	var all []broker.Instance
	eventually(t, func() (err error) { // who is slow to answer is missing
		if all, err = link.Services(t.Context()); err == nil && len(all) < 2 {
			err = fmt.Errorf("got %+v, want two instances", all)
		}
		return err
	})
	i := slices.IndexFunc(all, func(in broker.Instance) bool { return in.Name == "foreign" })
	if i != 0 || len(all) != 2 || all[0].ID != foreign.Info().ID || all[0].Version != "0.1.0" || len(all[0].Methods) != 1 {
		t.Errorf("got %+v, want the foreign service with its endpoint, then ours", all)
	}
}

// TestForeignCaller: who knows nothing of Enoki sends a body and gets one.
func TestForeignCaller(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	join(t, link, serves(echo))
	reply, err := client(t, server).Request("enoki.rpc.register.check", []byte("body"), 30*time.Second)
	if err != nil || string(reply.Data) != "body" {
		t.Errorf("got %+v and error %v, want the body that was sent", reply, err)
	}
}

// TestForeignCallee: a service that others have written gets the body as it
// is, also in the place of one of ours, once it has answered.
func TestForeignCallee(t *testing.T) {
	server := startEmbedded(t, embedded.Options{})
	link := open(t, nats.Config{InProcess: server})
	call := func() {
		t.Helper()
		reply, err := link.Call(t.Context(), "register", "check", &broker.Message{ID: "1", Body: []byte("body"), Context: map[string]any{"a": "b"}})
		if err != nil || string(reply.Body) != "body" {
			t.Errorf("got %+v and error %v, want the body that was sent", reply, err)
		}
	}
	member := join(t, link, serves(echo))
	call()
	call()
	if err := member.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc := client(t, server)
	bodies := make(chan string, 3)
	if _, err := nc.Subscribe("enoki.rpc.register.check", func(msg *natsgo.Msg) {
		bodies <- string(msg.Data)
		_ = msg.Respond([]byte("body"))
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		call()
	}
	<-bodies // was still a frame
	for range 2 {
		if body := <-bodies; body != "body" {
			t.Errorf("the service of others got %q, want the body that was sent", body)
		}
	}
}
