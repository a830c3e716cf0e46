// Package site are the cases of the comment site, examples/comments: what
// comes in by HTTP goes on by calls and events. By hand it is net/http and
// nats.go with the same store. The client is that of package web.
package site

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/web"
	"github.com/enoki-go/enoki/examples/comments/store"
)

const (
	users    = 8
	articles = 512 // that are commented on; the one that is read comes after them
	replies  = 20  // comments on the article that is read
)

// Groups are writing a comment and reading a thread.
func Groups() []harness.Group {
	return []harness.Group{
		{
			Name: "site-comment", About: "POST of a comment: a call to find the writer, a synced write, an event, a call and a synced write to tell the author; done when the author is told",
			Base: "by-hand", Sizes: []int{128}, Callers: []int{64}, Longer: 2, Goals: harness.Reach(0.8, "enoki", "by-hand", "rate", "CPU"),
			Cases: []harness.Case{
				{Name: "by-hand", About: "net/http, nats.go, an embedded server, in one process", Serve: serveByHand, Dial: dialComment, Counted: true},
				{Name: "enoki", About: "the comment site in one process", Serve: serveEnoki, Dial: dialComment, Counted: true},
			},
		},
		{
			Name: "site-stranger", About: "POST of a comment by somebody unknown: HTTP, a call, and HTTP",
			Base: "by-hand", Sizes: []int{128}, Callers: []int{64}, Goals: harness.Reach(0.8, "enoki", "by-hand", "rate", "CPU"),
			Cases: []harness.Case{
				{Name: "by-hand", About: "net/http, nats.go, an embedded server, in one process", Serve: serveByHand, Dial: dialStranger},
				{Name: "enoki", About: "the comment site in one process", Serve: serveEnoki, Dial: dialStranger},
			},
		},
		{
			Name: "site-stranger-apart", About: "the same with the service register in a process of its own, over TCP to the embedded broker",
			Base: "by-hand", Sizes: []int{128}, Callers: []int{64}, Goals: harness.Reach(0.8, "enoki", "by-hand", "rate", "CPU"),
			Cases: []harness.Case{
				{Name: "by-hand", About: "net/http, nats.go, an embedded server", Serve: serveApartByHand, Dial: dialStranger},
				{Name: "enoki", About: "the comment site", Serve: serveApart, Dial: dialStranger},
			},
		},
		{
			Name: "site-thread", About: "GET of an article's 20 comments, as a tree",
			Base: "by-hand", Sizes: []int{128}, Callers: []int{64}, Goals: harness.Reach(0.8, "enoki", "by-hand", "rate", "CPU"),
			Cases: []harness.Case{
				{Name: "by-hand", About: "net/http", Serve: serveByHand, Dial: dialThread},
				{Name: "enoki", About: "the comment site", Serve: serveEnoki, Dial: dialThread},
			},
		},
		// Without a size it is not measured: these are started by cases above.
		{Name: parts, Cases: []harness.Case{{Name: "by-hand", Serve: serveRegisterByHand}, {Name: "enoki", Serve: serveRegister}}},
	}
}

const parts = "site-register"

const commentPath = "/api/v1/comment"

func comment(writer, author, article, size int) []byte {
	return fmt.Appendf(nil, `{"timestamp":1767225660,"u_id":"%d","content":"%s","article_id":%d,"article_u_id":"%d"}`,
		store.FirstUserID+writer, strings.Repeat("lorem ipsum ", size)[:size], article, store.FirstUserID+author)
}

// dialComment comments on many articles, of every user in turn.
func dialComment(_ context.Context, w *harness.Work) (harness.Operation, error) {
	var requests [][]byte
	for n := range articles {
		requests = append(requests, web.Request("POST", commentPath, comment((n+1)%users, n%users, n, w.Size)))
	}
	var next atomic.Int64
	client := newClient(w)
	return func(context.Context) error {
		return client.Do(requests[next.Add(1)%articles], begins(`{"code":0,"message":"","data":{"comment_id":`))
	}, nil
}

func dialStranger(_ context.Context, w *harness.Work) (harness.Operation, error) {
	request := web.Request("POST", commentPath, comment(users+1, 0, 1, w.Size))
	client := newClient(w)
	return func(context.Context) error { return client.Do(request, begins(`{"code":10004,`)) }, nil
}

func dialThread(_ context.Context, w *harness.Work) (harness.Operation, error) {
	request := web.Request("GET", fmt.Sprintf("/api/v1/articles/%d/comments", articles), nil)
	client := newClient(w)
	return func(context.Context) error {
		return client.Do(request, begins(fmt.Sprintf(`{"code":0,"message":"","data":{"article_id":%d,"comments":[{"comment_id":`, articles)))
	}, nil
}

func newClient(w *harness.Work) *web.Client {
	return web.NewClient(strings.TrimPrefix(w.Address, "http://"))
}

func begins(want string) func(int, []byte) error {
	return func(status int, answer []byte) error {
		if status != 200 || !strings.HasPrefix(string(answer), want) {
			return fmt.Errorf("answered with %d %.300s", status, answer)
		}
		return nil
	}
}
