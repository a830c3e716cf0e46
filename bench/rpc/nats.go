package rpc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/bench/harness"
)

// callTimeout bounds a call, as it does in Enoki and as it would by hand.
const callTimeout = 10 * time.Second

// serveNATS is a service on NATS by hand: a goroutine for each request, so
// that one that waits does not hold up the others.
func serveNATS(_ context.Context, w *harness.Work) (string, error) {
	return w.Broker, serveNATSAt(w.Broker, w)
}

func serveNATSEmbedded(_ context.Context, w *harness.Work) (string, error) {
	server, err := startEmbedded(w)
	if err != nil {
		return "", err
	}
	return server.URL(), serveNATSAt(server.URL(), w, nats.InProcessServer(server))
}

func serveNATSAt(url string, w *harness.Work, options ...nats.Option) error {
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return err
	}
	_, err = conn.QueueSubscribe(w.Name()+".put", "workers", func(m *nats.Msg) { go answerNATS(m) })
	if err != nil {
		return err
	}
	return conn.Flush()
}

func answerNATS(m *nats.Msg) {
	body, err := answer(m.Data)
	if err != nil {
		text := err.Error()
		body, _ = json.Marshal(reply{Error: &text}) // it is a struct of strings
	}
	_ = m.Respond(body) // the caller has a timeout
}

func dialNATS(_ context.Context, w *harness.Work) (harness.Operation, error) {
	conn, err := nats.Connect(w.Address)
	if err != nil {
		return nil, err
	}
	subject := w.Name() + ".put"
	return sending(w, func(_ context.Context, d Document) (Document, error) {
		body, err := json.Marshal(request{Args: []Document{d}})
		if err != nil {
			return d, err
		}
		m, err := conn.Request(subject, body, callTimeout)
		if err != nil {
			return d, err
		}
		return result(m.Data)
	})
}
