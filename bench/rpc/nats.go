package rpc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
	"github.com/enoki-go/enoki/broker/nats/embedded"
)

// callTimeout bounds a call, as it does in Enoki and as it would by hand.
const callTimeout = 10 * time.Second

// natsByHand is a service on NATS by hand, and its client.
type natsByHand struct {
	codec

	// serial handles one request after the other, as a subscription of nats.go
	// does by itself: less work, and one that waits holds up all. Otherwise
	// each request gets a goroutine.
	serial bool
}

func (n natsByHand) serve(_ context.Context, w *harness.Work) (string, error) {
	return w.Broker, n.serveAt(w.Broker, w)
}

func (n natsByHand) serveEmbedded(_ context.Context, w *harness.Work) (string, error) {
	server, err := embedded.Start(embedded.Options{Dir: w.Dir, Port: -1, Logger: service.Silent})
	if err != nil {
		return "", err
	}
	return server.URL(), n.serveAt(server.URL(), w, nats.InProcessServer(server))
}

func (n natsByHand) serveAt(url string, w *harness.Work, options ...nats.Option) error {
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return err
	}
	handle := func(m *nats.Msg) { go n.handle(m) }
	if n.serial {
		handle = n.handle
	}
	if _, err := conn.QueueSubscribe(w.Name()+".put", "workers", handle); err != nil {
		return err
	}
	return conn.Flush()
}

func (n natsByHand) handle(m *nats.Msg) {
	body, err := n.answer(m.Data)
	if err != nil {
		text := err.Error()
		body, _ = json.Marshal(reply{Error: &text}) // it is a struct of strings
	}
	_ = m.Respond(body) // the caller has a timeout
}

func (n natsByHand) dial(_ context.Context, w *harness.Work) (harness.Operation, error) {
	conn, err := nats.Connect(w.Address)
	if err != nil {
		return nil, err
	}
	subject := w.Name() + ".put"
	return sending(w, func(_ context.Context, d Document) (Document, error) {
		body, err := n.request(d)
		if err != nil {
			return d, err
		}
		m, err := conn.Request(subject, body, callTimeout)
		if err != nil {
			return d, err
		}
		return n.result(m.Data)
	})
}

// serveMicro is a service of nats.go's own small framework.
func serveMicro(_ context.Context, w *harness.Work) (string, error) {
	conn, err := nats.Connect(w.Broker)
	if err != nil {
		return "", err
	}
	s, err := micro.AddService(conn, micro.Config{Name: w.Name(), Version: "1.0.0"})
	if err != nil {
		return "", err
	}
	if err := s.AddGroup(w.Name()).AddEndpoint("put", micro.HandlerFunc(answerMicro)); err != nil {
		return "", err
	}
	return w.Broker, conn.Flush()
}

func answerMicro(r micro.Request) {
	body, err := standard.answer(r.Data())
	if err != nil {
		_ = r.Error("500", err.Error(), nil) // the caller has a timeout
		return
	}
	_ = r.Respond(body) // the same
}
