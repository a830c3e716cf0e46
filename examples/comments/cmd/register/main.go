// Command register runs the register service of the comment site.
package main

import (
	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/register"
	"github.com/enoki-go/enoki/examples/comments/storeurl"
	"github.com/enoki-go/enoki/host"
)

func main() {
	app := host.App{Name: "register"}
	url := app.String("store", storeurl.Default("register"), storeurl.Usage)
	app.Main(func() ([]*enoki.Service, error) {
		s, err := storeurl.Open(*url, app.Logger())
		if err != nil {
			return nil, err
		}
		return []*enoki.Service{register.New(s, app.Logger())}, nil
	})
}
