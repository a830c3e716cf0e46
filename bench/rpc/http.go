package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"connectrpc.com/connect"

	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
)

// serveHTTP is POST /put of net/http.
func serveHTTP(_ context.Context, _ *harness.Work) (string, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /put", func(w http.ResponseWriter, r *http.Request) {
		var d Document
		if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(d) // the caller has gone
	})
	return listen(&http.Server{Handler: mux})
}

func listen(server *http.Server) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() { _ = server.Serve(l) }() // it ends with the process
	return "http://" + l.Addr().String(), nil
}

func dialHTTP(_ context.Context, w *harness.Work) (harness.Operation, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: service.Workers}, Timeout: callTimeout}
	url := w.Address + "/put"
	return sending(w, func(ctx context.Context, d Document) (Document, error) { return post(ctx, client, url, d) })
}

func post(ctx context.Context, client *http.Client, url string, d Document) (back Document, err error) {
	body, err := json.Marshal(d)
	if err != nil {
		return back, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return back, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return back, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body) // whole, so that the connection is kept
	if err != nil {
		return back, err
	}
	if resp.StatusCode != http.StatusOK {
		return back, fmt.Errorf("%s: %s", resp.Status, text)
	}
	err = json.Unmarshal(text, &back)
	return back, err
}

// serveConnect is a method of connect-go over HTTP/2 without TLS.
func serveConnect(_ context.Context, _ *harness.Work) (string, error) {
	put := func(_ context.Context, req *connect.Request[Document]) (*connect.Response[Document], error) {
		return connect.NewResponse(req.Msg), nil
	}
	mux := http.NewServeMux()
	mux.Handle("/bench.Store/Put", connect.NewUnaryHandler("/bench.Store/Put", put, connect.WithCodec(jsonCodec{})))
	return listen(&http.Server{Handler: mux, Protocols: http2Only()})
}

func http2Only() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

func dialConnect(_ context.Context, w *harness.Work) (harness.Operation, error) {
	client := connect.NewClient[Document, Document](&http.Client{Transport: &http.Transport{Protocols: http2Only()}},
		w.Address+"/bench.Store/Put", connect.WithCodec(jsonCodec{}))
	return sending(w, func(ctx context.Context, d Document) (back Document, err error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		resp, err := client.CallUnary(ctx, connect.NewRequest(&d))
		if err != nil {
			return back, err
		}
		return *resp.Msg, nil
	})
}
