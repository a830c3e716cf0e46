package enoki_test

import (
	"context"
	"fmt"
	"log"

	"github.com/enoki-go/enoki"
)

// A method whose answer is worthless when it comes late, and that is cheap to
// ask again: it may be called at most once.
type Weather struct {
	Now func(ctx context.Context, city string) (string, error) `rpc:"now" args:"city" delivery:"at-most-once"`
}

func ExampleClient_AtMostOnce() {
	c, stop := serve(enoki.NewService("weather", enoki.RPC(Weather{
		Now: func(_ context.Context, city string) (string, error) { return "rain in " + city, nil },
	})))
	defer stop()

	var weather Weather // its tag says how it is called
	if err := c.Bind("weather", &weather); err != nil {
		log.Fatal(err)
	}
	fmt.Println(weather.Now(context.Background(), "Turin"))

	// A call without a contract says so by its client.
	result, err := c.AtMostOnce().Call(context.Background(), "weather", "now", []any{"Oslo"}, nil)
	fmt.Println(string(result), err)
	// Output:
	// rain in Turin <nil>
	// "rain in Oslo" <nil>
}
