package enoki_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
)

// Greeter is a contract: server, client and test share this type.
type Greeter struct {
	Hello func(ctx context.Context, name string) (string, error) `rpc:"hello" args:"name"`
}

func hello(_ context.Context, name string) (string, error) {
	if name == "" {
		return "", enoki.Errorf(enoki.InvalidArgument, "name is empty")
	}
	return "Hello, " + name, nil
}

// serve runs services on a broker in this process until stop is called.
func serve(services ...*enoki.Service) (c *enoki.Client, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	b, ready, done := memory.New(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		options := &enoki.Options{Logger: quiet, OnReady: func() { close(ready) }}
		if err := enoki.Run(ctx, b, options, services...); err != nil {
			log.Fatal(err)
		}
	}()
	<-ready
	return enoki.NewClient(b, nil), func() { cancel(); <-done; b.Close() }
}

func Example() {
	c, stop := serve(enoki.NewService("greeter", enoki.RPC(Greeter{Hello: hello})))
	defer stop()

	var greeter Greeter
	if err := c.Bind("greeter", &greeter); err != nil {
		log.Fatal(err)
	}
	text, err := greeter.Hello(context.Background(), "Ada")
	fmt.Println(text, err)
	// Output: Hello, Ada <nil>
}

// A service that needs another one declares it. The functions are filled at
// start; a test fills them with functions of its own.
func ExampleNeeds() {
	var greeter Greeter
	welcome := func(ctx context.Context, name string) (string, error) {
		text, err := greeter.Hello(ctx, name)
		return text + ". Welcome!", err
	}
	c, stop := serve(
		enoki.NewService("greeter", enoki.RPC(Greeter{Hello: hello})),
		enoki.NewService("door", enoki.Needs("greeter", &greeter), enoki.Method("welcome", welcome, "name")),
	)
	defer stop()

	result, err := c.Call(context.Background(), "door", "welcome", nil, map[string]any{"name": "Ada"})
	fmt.Println(string(result), err)

	greeter.Hello = func(context.Context, string) (string, error) { return "Hi", nil }
	fmt.Println(welcome(context.Background(), "Bob"))
	// Output:
	// "Hello, Ada. Welcome!" <nil>
	// Hi. Welcome! <nil>
}

// Errors keep their code over every hop.
func ExampleErrorf() {
	c, stop := serve(enoki.NewService("greeter", enoki.RPC(Greeter{Hello: hello})))
	defer stop()

	_, err := c.Call(context.Background(), "greeter", "hello", []any{""}, nil)
	fmt.Println(err)
	fmt.Println(errors.Is(err, enoki.InvalidArgument), enoki.CodeOf(err).HTTPStatus())
	// Output:
	// InvalidArgument: name is empty
	// true 400
}

// Comment is the payload of an event.
type Comment struct {
	Article int    `json:"article"`
	Text    string `json:"text"`
}

// Posted is declared beside the contract of the service that emits it.
var Posted = enoki.NewEvent[Comment]("comments", "posted")

func ExampleOn() {
	var emit enoki.Emit[Comment]
	handled := make(chan string)
	_, stop := serve(
		enoki.NewService("comments", enoki.Emits(Posted, &emit)),
		enoki.NewService("push", enoki.On(Posted, func(_ context.Context, c Comment) error {
			handled <- fmt.Sprintf("article %d: %s", c.Article, c.Text)
			return nil
		})),
	)
	defer stop()

	fmt.Println(emit(context.Background(), Comment{Article: 7, Text: "well said"}))
	fmt.Println(<-handled)
	// Output:
	// <nil>
	// article 7: well said
}

func ExampleEvery() {
	ticks := make(chan int, 3)
	n := 0
	_, stop := serve(enoki.NewService("clock", enoki.Every(time.Millisecond, func(context.Context) error {
		if n++; n <= cap(ticks) {
			ticks <- n
		}
		return nil
	}, enoki.Eager())))
	fmt.Println(<-ticks, <-ticks, <-ticks)
	stop()
	// Output: 1 2 3
}

// Middleware sees handlers and outgoing calls in the same shape.
func ExampleUse() {
	logged := func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) error {
			err := next(ctx, c)
			fmt.Println(c.Kind, c.Method, c.Args(), c.Results(), err)
			return err
		}
	}
	c, stop := serve(enoki.NewService("greeter", enoki.Use(logged), enoki.RPC(Greeter{Hello: hello})))
	defer stop()

	c.Call(context.Background(), "greeter", "hello", []any{"Ada"}, nil)
	// Output: rpc hello [Ada] [Hello, Ada] <nil>
}

// Context data goes with every call and event, through any number of hops.
func ExampleWithContextData() {
	whoami := func(ctx context.Context) (string, error) {
		user, _ := enoki.ContextData(ctx)["user_id"].(string)
		return user, nil
	}
	c, stop := serve(enoki.NewService("users", enoki.Method("whoami", whoami)))
	defer stop()

	ctx := enoki.WithContextData(context.Background(), "user_id", "7000001")
	result, err := c.Call(ctx, "users", "whoami", nil, nil)
	fmt.Println(string(result), err)
	// Output: "7000001" <nil>
}
