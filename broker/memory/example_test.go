package memory_test

import (
	"context"
	"fmt"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
)

func Example() {
	ctx := context.Background()
	b := memory.New()
	defer b.Close()

	greeter, err := b.Join(ctx, broker.Service{
		Instance: broker.Instance{Name: "greeter", ID: "1"},
		Workers:  10,
		Serve: func(_ context.Context, method string, req *broker.Message) *broker.Message {
			return &broker.Message{Body: fmt.Appendf(nil, "%s, %s!", method, req.Body)}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	reply, err := b.Call(ctx, "greeter", "hello", &broker.Message{Body: []byte("world")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", reply.Body)
	fmt.Println(greeter.Leave(ctx))
	_, err = b.Call(ctx, "greeter", "hello", &broker.Message{})
	fmt.Println(err)
	// Output:
	// hello, world!
	// <nil>
	// call greeter.hello: unknown service: no instance of it is there
}
