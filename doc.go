// Package enoki is what the author of a service imports. A service is a name
// and its entrypoints. Handlers are plain functions. A contract is a struct of
// functions that server and client share.
//
//	type Greeter struct {
//		Hello func(ctx context.Context, name string) (string, error) `rpc:"hello" args:"name"`
//	}
//
//	service := enoki.NewService("greeter", enoki.RPC(Greeter{Hello: hello}))
//	err := enoki.Run(ctx, b, nil, service)
//
// A service does not choose its broker: Run takes any [broker.Broker]. Package
// host chooses the broker, reads the configuration and handles signals. Package
// web adds HTTP entrypoints. Authors of entrypoints need package entrypoint.
package enoki
