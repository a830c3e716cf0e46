// Command api runs the HTTP API of the comment site. It needs the services
// register and push on the same broker.
package main

import (
	"net"
	"strconv"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/api"
	"github.com/enoki-go/enoki/examples/comments/storeurl"
	"github.com/enoki-go/enoki/host"
)

func main() {
	app := host.App{Name: "api"}
	url := app.String("store", storeurl.Default("api"), storeurl.Usage)
	address := app.String("address", api.Address, api.AddressUsage)
	port := app.Int("port", api.Port, api.PortUsage)
	app.Main(func() ([]*enoki.Service, error) {
		s, err := storeurl.Open(*url, app.Logger())
		if err != nil {
			return nil, err
		}
		return []*enoki.Service{api.New(s, net.JoinHostPort(*address, strconv.Itoa(*port)))}, nil
	})
}
