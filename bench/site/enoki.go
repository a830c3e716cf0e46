package site

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/examples/comments/api"
	"github.com/enoki-go/enoki/examples/comments/push"
	"github.com/enoki-go/enoki/examples/comments/register"
	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/examples/comments/store/bolt"
)

// site is the comment site with a broker in its process.
type site struct {
	kept   store.Store
	server *embedded.Server
	link   broker.Broker
}

func serveEnoki(ctx context.Context, w *harness.Work) (string, error) {
	s, err := newSite(ctx, w)
	if err != nil {
		return "", err
	}
	return s.run(ctx, register.New(s.kept, service.Silent))
}

// serveApart has no register; that runs in a process of its own.
func serveApart(ctx context.Context, w *harness.Work) (string, error) {
	s, err := newSite(ctx, w)
	if err != nil {
		return "", err
	}
	if err := w.Start(parts+"/enoki", s.server.URL()); err != nil {
		return "", err
	}
	return s.run(ctx)
}

// newSite opens the store and the broker.
func newSite(ctx context.Context, w *harness.Work) (*site, error) {
	kept, err := open(ctx, w)
	if err != nil {
		return nil, err
	}
	server, link, err := service.Embedded(ctx, filepath.Join(w.Dir, "broker"), false)
	return &site{kept, server, link}, err
}

// run runs the API, and what tells authors, after the services that it is
// given.
func (s *site) run(ctx context.Context, services ...*enoki.Service) (string, error) {
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	return "http://" + address, service.Run(ctx, s.link, append(services, push.New(s.kept, service.Silent), api.New(s.kept, address))...)
}

func serveRegister(ctx context.Context, w *harness.Work) (string, error) {
	w.Dir = filepath.Join(w.Dir, "register")
	kept, err := open(ctx, w)
	if err != nil {
		return "", err
	}
	link, err := service.Dial(ctx, w.Broker)
	if err != nil {
		return "", err
	}
	return "", service.Run(ctx, link, register.New(kept, service.Silent))
}

// freeAddress returns one that is free a moment before it is listened on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// counted is a store that counts who is told of a comment.
type counted struct {
	store.Store
	done func()
}

func (c counted) AddNotification(ctx context.Context, user string, n store.Notification) error {
	err := c.Store.AddNotification(ctx, user, n)
	if err == nil {
		c.done()
	}
	return err
}

// open returns a store in a file, with the users and the thread in it.
func open(ctx context.Context, w *harness.Work) (store.Store, error) {
	kept, err := bolt.Open(filepath.Join(w.Dir, "store.db"))
	if err != nil {
		return nil, err
	}
	for n := range users {
		email := fmt.Sprintf("user%d@example.com", n)
		profile := fmt.Appendf(nil, `{"timestamp":1,"email":%q,"name":"Ann","language":"en","country":"GB"}`, email)
		if _, _, err := kept.Register(ctx, email, profile); err != nil {
			return nil, err
		}
	}
	silent := func(store.Comment, *store.Posting) error { return nil }
	for n := range int64(replies) {
		c := store.Comment{ParentID: n / 2, UserID: strconv.Itoa(store.FirstUserID), Content: "I see it the same way.", ArticleID: articles, Timestamp: n}
		if _, err := kept.AddComment(ctx, c, silent); err != nil {
			return nil, err
		}
	}
	return counted{kept, w.Done}, nil
}
