// Command push runs the push service of the comment site.
package main

import (
	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/push"
	"github.com/enoki-go/enoki/examples/comments/storeurl"
	"github.com/enoki-go/enoki/host"
)

func main() {
	app := host.App{Name: "push"}
	url := app.String("store", storeurl.Default("push"), storeurl.Usage)
	app.Main(func() ([]*enoki.Service, error) {
		s, err := storeurl.Open(*url, app.Logger())
		if err != nil {
			return nil, err
		}
		return []*enoki.Service{push.New(s, app.Logger())}, nil
	})
}
