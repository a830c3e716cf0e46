// Command bench measures Enoki and its peers at the same work, in turn. See
// README.md.
package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/enoki-go/enoki/bench/events"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/rpc"
	"github.com/enoki-go/enoki/bench/site"
	"github.com/enoki-go/enoki/bench/web"
)

func main() {
	groups := slices.Concat(rpc.Groups(), events.Groups(), web.Groups(), site.Groups())
	if err := harness.Main(groups, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
