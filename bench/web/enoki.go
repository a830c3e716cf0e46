package web

import (
	"context"
	"io"
	"log/slog"
	"net"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/bench/document"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/telemetry"
	"github.com/enoki-go/enoki/web"
)

// Input is the request in tags that Enoki and huma both read; gin reads those
// named binding.
type Input struct {
	User int64 `path:"id" minimum:"1"`
	Body Checked
}

// Checked is document.Document with what is checked of it.
type Checked struct {
	ID    string   `json:"id" minLength:"1" maxLength:"40" binding:"required,max=40"`
	Name  string   `json:"name" minLength:"1" maxLength:"100" binding:"required,max=100"`
	Count int      `json:"count" minimum:"0" maximum:"1000" binding:"gte=0,lte=1000"`
	Score float64  `json:"score" minimum:"0" maximum:"1" binding:"gte=0,lte=1"`
	Tags  []string `json:"tags" maxItems:"10" binding:"max=10"`
	Text  string   `json:"text" maxLength:"100000" binding:"max=100000"`
}

// Output is the answer.
type Output struct{ Body document.Document }

func echoed(_ context.Context, in *Input) (*Output, error) {
	return &Output{document.Document(in.Body)}, nil
}

func serveEnoki(ctx context.Context, _ *harness.Work) (string, error) {
	return run(ctx, service.Silent, &web.Options{Timeout: -1})
}

func serveEnokiComplete(ctx context.Context, _ *harness.Work) (string, error) {
	return run(ctx, telemetry.NewLogger(io.Discard, slog.LevelInfo, telemetry.JSON), &web.Options{})
}

func run(ctx context.Context, log *slog.Logger, o *web.Options) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	o.Listener = l
	s := enoki.NewService("documents", web.Serve(o, web.Post("/users/{id}/documents", echoed, web.Status(201))))
	return "http://" + l.Addr().String(), service.RunLogging(ctx, log, memory.New(), s)
}
