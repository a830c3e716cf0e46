// Package enoki is what the author of a service imports: a service is a name
// and its entrypoints, handlers are plain functions, and a contract is a
// struct of functions that server and client share.
//
//	type Greeter struct {
//		Hello func(ctx context.Context, name string) (string, error) `rpc:"hello" args:"name"`
//	}
//
//	service := enoki.NewService("greeter", enoki.RPC(Greeter{Hello: hello}))
//	err := enoki.Run(ctx, b, nil, service)
//
// Which broker a service runs on is not its own business: Run takes any
// [broker.Broker]. Package host chooses one, reads the configuration and
// handles signals; package web adds HTTP.
package enoki
