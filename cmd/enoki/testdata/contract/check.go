// The program of TestContractsWork: it binds and serves the contracts that
// enoki contract has written, and prints the services whose are sound.
package main

import (
	"fmt"
	"log"
	"reflect"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/cmd/enoki/contractcheck/articlesapi"
	mailer "github.com/enoki-go/enoki/cmd/enoki/contractcheck/mailerapi"
	"github.com/enoki-go/enoki/cmd/enoki/contractcheck/ordersapi"
	"github.com/enoki-go/enoki/cmd/enoki/contractcheck/registerapi"
)

func main() {
	b := memory.New()
	client := enoki.NewClient(b, nil)
	check(client, "register", &registerapi.Register{})
	check(client, "articles", &articlesapi.Articles{})
	check(client, "orders", &ordersapi.Orders{})
	check(client, "stock", &ordersapi.Stock{})
	if err := mailer.New().Check(); err != nil {
		log.Fatal(err)
	}
	fmt.Print(mailer.New().Name(), " ")
	if err := b.Close(); err != nil {
		log.Fatal(err)
	}
}

func check(client *enoki.Client, service string, contract any) {
	if err := client.Bind(service, contract); err != nil {
		log.Fatal(err)
	}
	served := reflect.ValueOf(contract).Elem().Interface() // bound, so that every function is set
	if err := enoki.NewService(service, enoki.RPC(served)).Check(); err != nil {
		log.Fatal(err)
	}
	fmt.Print(service, " ")
}
