package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/deadletter"
)

// completeTimeout is how long a shell waits for names from the broker, at
// most; a person has stopped waiting by then.
const completeTimeout = 2 * time.Second

// catalogue returns what is alive on the broker, or nothing when it can't be
// asked: a completion has no place for errors.
func (c *cli) catalogue(ctx context.Context) []broker.Instance {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := withTimeout(ctx, c.completing)
	defer cancel()
	b, err := c.connect(ctx)
	if err != nil {
		return nil
	}
	defer b.Close()
	instances, err := b.Services(ctx)
	if err != nil {
		return nil
	}
	return instances
}

// completeCall completes service.method, and after it the names of the
// method's arguments.
func (c *cli) completeCall(cmd *cobra.Command, words []string, begun string) ([]string, cobra.ShellCompDirective) {
	instances := c.catalogue(cmd.Context())
	if len(words) == 0 {
		return unique(methodNames(instances), begun), cobra.ShellCompDirectiveNoFileComp
	}
	return unique(argumentNames(instances, words), begun), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// methodNames returns "service.method", each with its arguments as the
// description that shells show beside it.
func methodNames(instances []broker.Instance) []string {
	var names []string
	for _, i := range instances {
		for _, m := range i.Methods {
			names = append(names, cobra.CompletionWithDesc(i.Name+"."+m.Name, "("+strings.Join(m.Args, ", ")+")"))
		}
	}
	return names
}

// argumentNames returns "name=" for each argument of the method words[0] that
// the other words do not have: "name:=" when its type is not text.
func argumentNames(instances []broker.Instance, words []string) []string {
	var names []string
	for _, i := range instances {
		for _, m := range i.Methods {
			if i.Name+"."+m.Name == words[0] {
				names = append(names, freeArguments(m, words[1:])...)
			}
		}
	}
	return names
}

func freeArguments(m broker.Method, given []string) []string {
	var names []string
	for n, name := range m.Args {
		if strings.HasPrefix(name, "*") { // it has no name of its own
			continue
		}
		name = strings.TrimSuffix(name, "?")
		taken := slices.ContainsFunc(given, func(word string) bool {
			return strings.HasPrefix(word, name+"=") || strings.HasPrefix(word, name+":=")
		})
		switch {
		case taken:
		case takesText(m, n):
			names = append(names, name+"=")
		default:
			names = append(names, name+":=")
		}
	}
	return names
}

// completeEvent completes source.event for the first limit words, or for any
// number of them when limit is negative.
func (c *cli) completeEvent(limit int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, words []string, begun string) ([]string, cobra.ShellCompDirective) {
		if limit >= 0 && len(words) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, i := range c.catalogue(cmd.Context()) {
			for _, e := range slices.Concat(i.Emits, i.Handles) {
				names = append(names, e.Source+"."+e.Name)
			}
		}
		return unique(names, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *cli) completeService(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, i := range c.catalogue(cmd.Context()) {
		names = append(names, i.Name)
	}
	return unique(names, begun), cobra.ShellCompDirectiveNoFileComp
}

// maxLetters is how many dead letters a completion offers.
const maxLetters = 200

// completeDead completes the ids of dead letters, and of groups too if groups
// is set, each once.
func (c *cli) completeDead(o *deadOptions, groups bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, words []string, begun string) ([]string, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := withTimeout(ctx, c.completing)
		defer cancel()
		var names []string
		_ = c.withDead(ctx, o, nil, func(ctx context.Context, client *enoki.Client, o *deadOptions) error {
			for l, err := range deadletter.All(ctx, client, o.filter) {
				if err != nil || len(names) >= 2*maxLetters {
					return err
				}
				what := l.Service + "." + l.Handler + ": " + shortened(l.Reason, 40)
				if groups && !slices.Contains(words, l.Group) {
					names = append(names, cobra.CompletionWithDesc(l.Group, "group of "+l.Service+"."+l.Handler))
				}
				if !slices.Contains(words, l.ID) {
					names = append(names, cobra.CompletionWithDesc(l.ID, what))
				}
			}
			return nil
		})
		return unique(names, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// unique returns the names that begin as given, each once and in order.
func unique(names []string, begun string) []string {
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, begun) })
	slices.Sort(names)
	return slices.Compact(names)
}
