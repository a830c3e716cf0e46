package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	coder "github.com/coder/websocket"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/web"
	"github.com/enoki-go/enoki/websocket"
)

type postComment struct {
	Article int64 `path:"article"`
	Body    struct {
		Author string `json:"author"`
		Text   string `json:"text" minLength:"1" maxLength:"5000"`
		Parent int64  `json:"parent,omitempty" doc:"the comment that this one answers"`
	}
}

type postedComment struct {
	Body struct {
		ID int64 `json:"id"`
	}
}

func post(ctx context.Context, in *postComment) (*postedComment, error) {
	if in.Article != 7 {
		return nil, enoki.Errorf(enoki.NotFound, "there is no article %d", in.Article)
	}
	out := &postedComment{}
	out.Body.ID = 1
	return out, nil
}

// A service with one HTTP route, run on a broker in memory.
func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a service usually names an address, or none
	if err != nil {
		fmt.Println(err)
		return
	}
	service := enoki.NewService("comments",
		web.Serve(&web.Options{Title: "Comments", Listener: listener},
			web.Post("/articles/{article}/comments", post, web.Summary("Comment on an article")),
		),
	)

	ctx, stop := context.WithCancel(context.Background())
	options := &enoki.Options{Logger: slog.New(slog.DiscardHandler), OnReady: func() {
		defer stop()
		url := "http://" + listener.Addr().String() + "/articles/7/comments"
		for _, body := range []string{`{"author":"ann","text":"hi"}`, `{"author":3,"text":"hi"}`} {
			res, err := http.Post(url, "application/json", strings.NewReader(body))
			if err != nil {
				fmt.Println(err)
				return
			}
			defer res.Body.Close()
			var answer struct {
				ID     int64
				Errors []web.FieldError
			}
			err = json.NewDecoder(res.Body).Decode(&answer)
			fmt.Println(res.StatusCode, answer.ID, answer.Errors, err)
		}
	}}
	fmt.Println(enoki.Run(ctx, memory.New(), options, service))
	// Output:
	// 200 1 [] <nil>
	// 400 0 [{body.author expected string}] <nil>
	// <nil>
}

// Routes are tested without a service and without a port.
func ExampleNewHandler() {
	h := web.NewHandler(nil, web.Post("/articles/{article}/comments", post))

	r := httptest.NewRequest("POST", "/articles/8/comments", strings.NewReader(`{"author":"ann","text":"hi"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)

	var problem web.Problem
	err := json.Unmarshal(w.Body.Bytes(), &problem)
	fmt.Println(err, w.Header().Get("Content-Type"))
	fmt.Println(problem.Status, problem.Title, problem.Code, problem.Detail)
	// Output:
	// <nil> application/problem+json
	// 404 Not Found not_found there is no article 8
}

// articleID is sent as an integer by some clients and as a string by others.
type articleID string

// Schema says so in the documentation, and to the check of requests.
func (articleID) Schema(web.Registry) *web.Schema {
	return &web.Schema{OneOf: []*web.Schema{{Type: "integer"}, {Type: "string"}}}
}

// UnmarshalJSON takes both.
func (id *articleID) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, (*string)(id))
	}
	*id = articleID(data)
	return nil
}

// A type that describes itself: an integer or a string.
func ExampleSchema() {
	type input struct {
		Body struct {
			Article articleID `json:"article"`
		}
	}
	h := web.NewHandler(nil, web.Put("/last", func(_ context.Context, in *input) (*struct{}, error) {
		fmt.Println("article", in.Body.Article)
		return nil, nil
	}))
	for _, body := range []string{`{"article":7}`, `{"article":"7"}`, `{"article":[7]}`} {
		r := httptest.NewRequest("PUT", "/last", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// article 7
	// 204
	// article 7
	// 204
	// 400
}

// A plain handler of package http, for a stream.
func ExampleHandle() {
	count := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 2 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(web.NewHandler(nil, web.Handle("GET /count", count, web.Timeout(-1))))
	defer server.Close()

	res, err := http.Get(server.URL + "/count")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Printf("%q %v\n", body, err)
	// Output:
	// "data: 0\n\ndata: 1\n\n" <nil>
}

// A chat room: clients call the methods, and hear what others say.
func ExampleWebSocket() {
	hub := websocket.NewHub(nil)
	subscribe := func(_ context.Context, socketID, room string) ([]string, error) {
		err := hub.Subscribe(socketID, room)
		return hub.Subscriptions(socketID), err
	}
	say := func(_ context.Context, socketID, room, text string) error {
		if text == "" {
			return enoki.Errorf(enoki.InvalidArgument, "say something")
		}
		return hub.Broadcast(room, "said", text)
	}
	server := httptest.NewServer(web.NewHandler(nil, web.WebSocket("/ws", hub,
		web.SocketMethod("subscribe", subscribe, "room"),
		web.SocketMethod("say", say, "room", "text"),
	)))
	defer server.Close()

	ctx := context.Background()
	conn, _, err := coder.Dial(ctx, server.URL+"/ws", nil) // a browser: new WebSocket("ws://…/ws")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	_, _, err = conn.Read(ctx) // the event "connected"
	fmt.Println(err)
	for _, call := range []string{
		`{"method":"subscribe","data":{"room":"go"},"correlation_id":1}`,
		`{"method":"say","data":{"room":"go","text":"hi"},"correlation_id":2}`,
		`{"method":"say","data":{"room":"go","text":""},"correlation_id":3}`,
	} {
		if err := conn.Write(ctx, coder.MessageText, []byte(call)); err != nil {
			fmt.Println(err)
			return
		}
	}
	for range 4 {
		_, frame, err := conn.Read(ctx)
		fmt.Println(string(frame), err)
	}
	// Output:
	// <nil>
	// {"type":"result","success":true,"data":["go"],"correlation_id":1} <nil>
	// {"type":"event","event":"said","data":"hi"} <nil>
	// {"type":"result","success":true,"data":null,"correlation_id":2} <nil>
	// {"type":"result","success":false,"error":{"exc_type":"InvalidArgument","exc_path":"enoki.InvalidArgument","exc_args":["say something"],"value":"say something"},"correlation_id":3} <nil>
}

// An HTTP entrypoint of Nameko, moved: its clients see no difference.
func ExamplePlain() {
	h := web.NewHandler(nil, web.Plain("GET,POST", "/orders/<int:id>", func(_ context.Context, r *http.Request) (*web.Text, error) {
		switch id := r.PathValue("id"); {
		case id == "0":
			return nil, enoki.Errorf(enoki.InvalidArgument, "there is no order 0")
		case r.Method == http.MethodPost:
			return &web.Text{Status: http.StatusCreated, Body: "made " + id}, nil
		default:
			return &web.Text{Body: `{"id": ` + id + `}`, Header: http.Header{"Content-Type": {"application/json"}}}, nil
		}
	}))
	for _, request := range []string{"GET /orders/7", "POST /orders/7", "GET /orders/0"} {
		method, target, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		fmt.Printf("%d %s: %q\n", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	// Output:
	// 200 application/json: "{\"id\": 7}"
	// 201 text/plain; charset=utf-8: "made 7"
	// 400 text/plain; charset=utf-8: "Error: InvalidArgument: there is no order 0\n"
}
