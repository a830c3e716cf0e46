package site

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/bench/service"
	"github.com/enoki-go/enoki/bench/web"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/examples/comments/registerapi"
	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/outbox"
)

// byHand is the site without Enoki, as far as the cases go: calls are
// requests of nats.go, the event is relayed from the store to a stream and
// told to authors in the order of their comments.
type byHand struct {
	kept store.Store
	conn *nats.Conn
	url  string // of the broker
}

func serveByHand(ctx context.Context, w *harness.Work) (string, error) {
	h, err := newByHand(ctx, w)
	if err != nil {
		return "", err
	}
	if err := h.serveCheck(); err != nil {
		return "", err
	}
	return h.listen(ctx)
}

// serveApartByHand has no register; that runs in a process of its own.
func serveApartByHand(ctx context.Context, w *harness.Work) (string, error) {
	h, err := newByHand(ctx, w)
	if err != nil {
		return "", err
	}
	if err := w.Start(parts+"/by-hand", h.url); err != nil {
		return "", err
	}
	return h.listen(ctx)
}

func serveRegisterByHand(ctx context.Context, w *harness.Work) (string, error) {
	w.Dir = filepath.Join(w.Dir, "register")
	kept, err := open(ctx, w)
	if err != nil {
		return "", err
	}
	conn, err := nats.Connect(w.Broker)
	if err != nil {
		return "", err
	}
	return "", (&byHand{kept: kept, conn: conn}).serveCheck()
}

// newByHand opens the store and the broker.
func newByHand(ctx context.Context, w *harness.Work) (*byHand, error) {
	kept, err := open(ctx, w)
	if err != nil {
		return nil, err
	}
	server, err := embedded.Start(embedded.Options{Dir: filepath.Join(w.Dir, "broker"), Port: -1, Logger: service.Silent})
	if err != nil {
		return nil, err
	}
	conn, err := nats.Connect(server.URL(), nats.InProcessServer(server))
	return &byHand{kept, conn, server.URL()}, err
}

// serveCheck serves what the service register does.
func (h *byHand) serveCheck() error {
	if _, err := h.conn.QueueSubscribe(checkSubject, "workers", func(m *nats.Msg) { go h.check(m) }); err != nil {
		return err
	}
	return h.conn.Flush()
}

// listen serves the API, and what tells authors.
func (h *byHand) listen(ctx context.Context) (string, error) {
	if err := h.tell(ctx); err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+commentPath, h.postComment)
	mux.HandleFunc("GET /api/v1/articles/{article_id}/comments", h.getComments)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: web.Complete(service.Silent, mux), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	go func() { _ = server.Serve(l) }() // it ends with the process
	return "http://" + l.Addr().String(), nil
}

const (
	checkSubject = "register.check_registered"
	callTimeout  = 10 * time.Second
)

type checkRequest struct {
	Args   []string       `json:"args"`
	Kwargs map[string]any `json:"kwargs"`
}

type checkReply struct {
	Result *registerapi.Profile `json:"result"`
	Error  *string              `json:"error"`
}

// check is the service register.
func (h *byHand) check(m *nats.Msg) {
	var in checkRequest
	var out checkReply
	err := json.Unmarshal(m.Data, &in)
	if err == nil && len(in.Args) == 1 {
		var data json.RawMessage
		if data, err = h.kept.UserData(context.Background(), in.Args[0]); err == nil && data != nil {
			err = json.Unmarshal(data, &out.Result)
		}
	}
	if err != nil {
		text := err.Error()
		out.Error = &text
	}
	body, _ := json.Marshal(out) // it was JSON before
	_ = m.Respond(body)          // the caller has a timeout
}

func (h *byHand) find(user string) (*registerapi.Profile, error) {
	body, err := json.Marshal(checkRequest{Args: []string{user}, Kwargs: map[string]any{}})
	if err != nil {
		return nil, err
	}
	m, err := h.conn.Request(checkSubject, body, callTimeout)
	if err != nil {
		return nil, err
	}
	var out checkReply
	return out.Result, json.Unmarshal(m.Data, &out)
}

type envelope struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}

func send(w http.ResponseWriter, e envelope) {
	body, err := json.Marshal(e)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the client has gone
}

type commentBody struct {
	Timestamp int64  `json:"timestamp"`
	UserID    string `json:"u_id"`
	Content   string `json:"content"`
	ArticleID *int64 `json:"article_id"`
	Author    string `json:"article_u_id"`
	ParentID  int64  `json:"parent_comment_id"`
}

func (h *byHand) postComment(w http.ResponseWriter, r *http.Request) {
	var in commentBody
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil || in.ArticleID == nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	if in.UserID == "" || in.Author == "" {
		send(w, envelope{10003, "article_u_id or u_id is null.", ""})
		return
	}
	user, err := h.find(in.UserID)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if user == nil {
		send(w, envelope{10004, "You need to register to comment.", ""})
		return
	}
	id, err := h.kept.AddComment(r.Context(), store.Comment{
		ParentID: in.ParentID, UserID: in.UserID, Content: in.Content, ArticleID: *in.ArticleID, ArticleUserID: in.Author, Timestamp: in.Timestamp,
	}, announce)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, envelope{Data: map[string]int64{"comment_id": id}})
}

func announce(c store.Comment, p *store.Posting) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return p.Put(outbox.Record{Source: "api", Event: strconv.FormatInt(c.ID, 10), Message: body}) // one event a comment
}

type reply struct {
	CommentID int64    `json:"comment_id"`
	ParentID  int64    `json:"parent_comment_id"`
	UserID    string   `json:"u_id"`
	Content   string   `json:"content"`
	Timestamp int64    `json:"timestamp"`
	Replies   []*reply `json:"replies"`
}

type thread struct {
	ArticleID int64    `json:"article_id"`
	Comments  []*reply `json:"comments"`
}

func (h *byHand) getComments(w http.ResponseWriter, r *http.Request) {
	article, err := strconv.ParseInt(r.PathValue("article_id"), 10, 64)
	if err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	comments, err := h.kept.CommentsOn(r.Context(), article)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, envelope{Data: thread{article, threaded(comments)}})
}

func threaded(comments []store.Comment) []*reply {
	top := []*reply{}
	known := make(map[int64]*reply, len(comments))
	for _, c := range comments {
		r := &reply{c.ID, c.ParentID, c.UserID, c.Content, c.Timestamp, []*reply{}}
		known[c.ID] = r
		if parent := known[c.ParentID]; parent != nil {
			parent.Replies = append(parent.Replies, r)
		} else {
			top = append(top, r)
		}
	}
	return top
}
