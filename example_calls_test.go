package enoki_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/resilience"
)

// A method may return a stream of results, which its caller reads at its own
// pace. The first error ends it.
func ExampleRPC_stream() {
	lines := []string{"one", "two", "three"}
	read := func(ctx context.Context, from int) (iter.Seq2[string, error], error) {
		if from > len(lines) {
			return nil, enoki.Errorf(enoki.NotFound, "there are %d lines", len(lines))
		}
		return func(yield func(string, error) bool) {
			for _, line := range lines[from:] {
				if !yield(line, nil) {
					return // the reader has left
				}
			}
		}, nil
	}
	c, stop := serve(enoki.NewService("log", enoki.Method("read", read, "first")))
	defer stop()

	var client struct {
		Read func(ctx context.Context, from int) (iter.Seq2[string, error], error) `rpc:"read" args:"first"`
	}
	if err := c.Bind("log", &client); err != nil {
		log.Fatal(err)
	}
	stream, err := client.Read(context.Background(), 1)
	if err != nil {
		log.Fatal(err)
	}
	for line, err := range stream {
		fmt.Println(line, err)
	}
	_, err = client.Read(context.Background(), 9)
	fmt.Println(err)
	// Output:
	// two <nil>
	// three <nil>
	// NotFound: there are 3 lines
}

// A function that returns a list of Reply calls every instance of the service.
func ExampleReply() {
	hub := memory.New()
	defer hub.Close()
	for size := range 3 {
		stop := serveOn(hub.Link(), enoki.NewService("log", enoki.Method("size", func(context.Context) (int, error) { return size, nil })))
		defer stop()
	}
	var client struct {
		Sizes func(ctx context.Context) ([]enoki.Reply[int], error) `rpc:"size"`
	}
	if err := enoki.NewClient(hub, nil).Bind("log", &client); err != nil {
		log.Fatal(err)
	}
	replies, err := client.Sizes(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	total := 0
	for _, r := range replies {
		if r.Err == nil {
			total += r.Value
		}
	}
	fmt.Println(len(replies), "instances,", total, "lines")
	// Output: 3 instances, 3 lines
}

// serveOn runs services on a broker until stop is called.
func serveOn(b broker.Broker, services ...*enoki.Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := enoki.Run(ctx, b, &enoki.Options{Logger: quiet, OnReady: func() { close(ready) }}, services...); err != nil {
			log.Fatal(err)
		}
	}()
	<-ready
	return func() { cancel(); <-done }
}

// A one-way call returns as soon as the broker has it, before it is done.
func ExampleRPC_oneway() {
	written := make(chan string)
	contract := struct {
		Write func(ctx context.Context, line string) error `rpc:"write" args:"line" oneway:"true"`
	}{func(_ context.Context, line string) error {
		written <- line // waits for the reader below
		return nil
	}}
	c, stop := serve(enoki.NewService("log", enoki.RPC(contract)))
	defer stop()

	client := contract
	if err := c.Bind("log", &client); err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Write(context.Background(), "one"))
	fmt.Println(<-written)
	// Output:
	// <nil>
	// one
}

// A policy of package resilience is middleware, for all handlers together or
// for each on its own.
func ExampleGuarded() {
	limit := enoki.Guarded(resilience.Rate(1, time.Hour, 0))
	c, stop := serve(enoki.NewService("greeter", enoki.Use(limit), enoki.RPC(Greeter{Hello: hello})))
	defer stop()

	for range 2 {
		_, err := c.Call(context.Background(), "greeter", "hello", []any{"Ada"}, nil)
		fmt.Println(errors.Is(err, enoki.ResourceExhausted))
	}
	// Output:
	// false
	// true
}
