package main

import (
	"context"
	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/host"
)

func hello(ctx context.Context, name string) (string, error) {
	return "Hello, " + name, nil
}

func main() {
	host.Main(enoki.NewService("greeter", enoki.Method("hello", hello, "name")))
}
