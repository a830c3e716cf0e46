// Command memoryserver is a service whose memory a test looks at from outside.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

func main() {
	bytes := flag.Int64("memory", 64<<20, "bytes for what arrives")
	url := flag.String("amqp", "", "URL of RabbitMQ; without one the service is alone")
	flag.Parse()
	if err := run(context.Background(), entrypoint.NewMemory(*bytes), *url); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, m *entrypoint.Memory, url string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b, err := dial(ctx, m, url)
	if err != nil {
		return err
	}
	hub := websocket.NewHub(nil)
	service := enoki.NewService("memory",
		enoki.Method("take", func(_ context.Context, _ any) error { return nil }, "x"),
		web.Serve(&web.Options{Listener: listener, Timeout: -1},
			web.Post("/take", func(ctx context.Context, _ *struct{ Body any }) (*struct{}, error) {
				time.Sleep(10 * time.Millisecond) // with what it has
				return nil, nil
			}),
			web.WebSocket("/ws", hub,
				web.SocketMethod("take", func(_ context.Context, _ string, _ any) (bool, error) {
					time.Sleep(10 * time.Millisecond)
					return true, nil
				}, "x"),
				web.SocketMethod("echo", func(_ context.Context, _ string, x any) (any, error) { return x, nil }, "x")),
		))
	return enoki.Run(ctx, b, &enoki.Options{
		Memory: m, Logger: slog.New(slog.DiscardHandler),
		OnReady: func() { fmt.Println(listener.Addr()) },
	}, service)
}

func dial(ctx context.Context, m *entrypoint.Memory, url string) (broker.Broker, error) {
	if url == "" {
		return memory.New().Link(), nil
	}
	return amqp.Dial(ctx, amqp.Config{URL: url, Memory: m, Logger: slog.New(slog.DiscardHandler)})
}
