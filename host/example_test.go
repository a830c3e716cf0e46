package host_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
)

// A program with a setting of its own. With --greeting, ENOKI_GREETING or the
// key greeting of the config file it says something else.
func ExampleApp() {
	app := host.App{Name: "greeter"}
	greeting := app.String("greeting", "Hello", "`word` to greet with")

	build := func() ([]*enoki.Service, error) {
		hello := func(_ context.Context, name string) (string, error) {
			return *greeting + ", " + name + "!", nil
		}
		return []*enoki.Service{enoki.NewService("greeter", enoki.Method("hello", hello, "name"))}, nil
	}

	// A program says app.Main(build). Run is the same for a test: this one
	// stops before it has started.
	ctx, stop := context.WithCancel(context.Background())
	stop()
	err := app.Run(ctx, []string{"--broker=memory:", "--admin=off"}, os.Stdout, io.Discard, build)
	fmt.Println("exit code", host.ExitCode(err))

	err = app.Run(ctx, []string{"--greting=Hi"}, os.Stdout, os.Stdout, build)
	fmt.Println("exit code", host.ExitCode(err))
	// Output:
	// exit code 0
	// greeter: unknown flag --greting; did you mean --greeting?
	// exit code 2
}

// A program that only calls, on a broker in its own process here.
func ExampleDial() {
	ctx := context.Background()
	b, err := host.Dial(ctx, "memory:", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close() }()
	_, err = enoki.NewClient(b, nil).Call(ctx, "greeter", "hello", []any{"Ada"}, nil)
	fmt.Println(enoki.CodeOf(err))
	// Output: unknown_service
}

// A setting that is a mapping: the key DB_URIS of a file, or, as here, a flag.
func ExampleApp_Value() {
	app := host.App{Name: "orders"}
	uris := map[string]string{}
	app.Value("DB_URIS", &uris, "databases, by name")

	_ = app.Run(context.Background(), []string{`--DB_URIS={orders: "postgresql://localhost/orders"}`}, os.Stdout, io.Discard,
		func() ([]*enoki.Service, error) {
			fmt.Println(uris["orders"])
			return nil, context.Canceled // nothing more to see
		})
	// Output: postgresql://localhost/orders
}
