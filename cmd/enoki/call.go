package main

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/internal/closest"
)

func (c *cli) callCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "call SERVICE.METHOD [name=text | name:=JSON]... | JSON | -",
		Short: "Call a method of a service and print its result",
		Long: `Call a method of a service and print its result as JSON.

name=text gives an argument by name, as text; name:=JSON gives any JSON value.
One JSON array gives all arguments by position, one JSON object by name, and
- reads either from stdin.`,
		Example: example(
			`enoki call register.check_registered u_id=7434029`,
			`enoki call push.push '["7434029","hi"]'`,
			`enoki call cart.add item=apple count:=3`,
			`enoki call cart.add - <item.json`),
		Args:              atLeast(1),
		ValidArgsFunction: c.completeCall,
		RunE: func(cmd *cobra.Command, words []string) error {
			ctx, cancel := withTimeout(cmd.Context(), timeout)
			defer cancel()
			return c.call(ctx, words)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the answer")
	return cmd
}

func (c *cli) call(ctx context.Context, words []string) error {
	service, method, err := splitMethod(words[0])
	if err != nil {
		return err
	}
	a, err := parseArguments(words[1:], c.stdin)
	if err != nil {
		return asUsage(err)
	}
	b, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	result, err := enoki.NewClient(b, c.options()).Call(ctx, service, method, a.args, a.kwargs)
	if err != nil {
		return explain(ctx, b, err, service, method, a)
	}
	return c.printResult(result)
}

// explain adds what helps a person to the error of a call: a name that may
// have been meant, or how to give a value that is not text.
func explain(ctx context.Context, b broker.Broker, err error, service, method string, a arguments) error {
	hint := ""
	switch enoki.CodeOf(err) {
	case enoki.UnknownService, enoki.MethodNotFound:
		hint = hintName(ctx, b, service+"."+method)
	case enoki.IncorrectSignature, enoki.InvalidArgument:
		hint = hintType(ctx, b, service+"."+method, a.kwargs)
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w\n%s", err, hint)
}

// hintName names the method on the broker that is most like the one called.
func hintName(ctx context.Context, b broker.Broker, called string) string {
	var names []string
	for name := range methods(ctx, b) {
		names = append(names, name)
	}
	if meant := closest.To(called, names); meant != "" {
		return "Did you mean " + meant + "?"
	}
	return ""
}

// hintType names an argument that was given as text and is not of a text
// type, as far as the service says.
func hintType(ctx context.Context, b broker.Broker, called string, kwargs map[string]any) string {
	for name, m := range methods(ctx, b) {
		if name != called {
			continue
		}
		for n, argument := range m.Args {
			argument = strings.TrimSuffix(argument, "?")
			text, given := kwargs[argument].(string)
			if given && !takesText(m, n) {
				return fmt.Sprintf("%[1]s is of type %[2]s, and %[1]s=%[3]s sends text; for JSON write %[1]s:=%[3]s", argument, m.Types[n], text)
			}
		}
	}
	return ""
}

// takesText reports whether a method's n-th argument may be text. Without its
// type, as of a service in Python, it may.
func takesText(m broker.Method, n int) bool {
	return n >= len(m.Types) || strings.TrimPrefix(m.Types[n], "*") == "string"
}

// methods goes over the methods of the services that are alive, by names like
// register.check_registered. It is empty when the broker doesn't answer: it is
// asked only to help.
func methods(ctx context.Context, b broker.Broker) iter.Seq2[string, broker.Method] {
	return func(yield func(string, broker.Method) bool) {
		instances, err := b.Services(ctx)
		if err != nil {
			return
		}
		for _, i := range instances {
			for _, m := range i.Methods {
				if !yield(i.Name+"."+m.Name, m) {
					return
				}
			}
		}
	}
}
