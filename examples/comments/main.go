// Command comments runs the comment site in one process: the services
// register, push and api. The commands in cmd run one of them each.
//
//	go run ./examples/comments
//
// and then http://127.0.0.1:5000/apidocs/ in a browser.
package main

import (
	"net"
	"strconv"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/api"
	"github.com/enoki-go/enoki/examples/comments/push"
	"github.com/enoki-go/enoki/examples/comments/register"
	"github.com/enoki-go/enoki/examples/comments/storeurl"
	"github.com/enoki-go/enoki/host"
)

func main() {
	app := host.App{Name: "comments"}
	url := app.String("store", storeurl.Default("comments"), storeurl.Usage)
	address := app.String("address", api.Address, api.AddressUsage)
	port := app.Int("port", api.Port, api.PortUsage)
	app.Main(func() ([]*enoki.Service, error) {
		log := app.Logger()
		s, err := storeurl.Open(*url, log)
		if err != nil {
			return nil, err
		}
		listen := net.JoinHostPort(*address, strconv.Itoa(*port))
		return []*enoki.Service{register.New(s, log), push.New(s, log), api.New(s, listen)}, nil
	})
}
