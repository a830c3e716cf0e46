// Package api is the service that people's programs talk to, by HTTP.
//
// What the site has to say is answered with status 200 and an envelope:
// {"code", "message", "data"}. A request that cannot be read, and a fault of
// the site itself, are answered as problem details (RFC 9457).
package api

import (
	"context"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/commentsapi"
	"github.com/enoki-go/enoki/examples/comments/pushapi"
	"github.com/enoki-go/enoki/examples/comments/registerapi"
	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/outbox"
	"github.com/enoki-go/enoki/web"
)

// Where the API listens when nothing else is said, and the usage of the flags
// that say so.
const (
	Address      = "127.0.0.1"
	AddressUsage = "`address` that the API listens on; 0.0.0.0 is every network"
	Port         = 5000
	PortUsage    = "TCP `port` of the API"
)

// saveTimeout is how long saving a comment may take. It is not part of the
// request's own time, which may be used up by then.
const saveTimeout = 5 * time.Second

type site struct {
	register registerapi.Register
	push     pushapi.Push
	comments store.Comments
	posted   outbox.Emit[*store.Posting, commentsapi.Comment]
}

// New returns the service, which keeps the comments in comments and listens
// on addr.
func New(comments store.Comments, addr string) *enoki.Service {
	s := &site{comments: comments}
	o := &web.Options{
		Addr:  addr,
		Title: "Comment site",
		Description: "Register two users, comment on an article of one as the other, and look at what the first one was told. " +
			"Every answer has status 200 and an envelope; its code is 0 when all went well.",
	}
	return enoki.NewService(commentsapi.Name,
		enoki.Needs(registerapi.Name, &s.register),
		enoki.Needs(pushapi.Name, &s.push),
		outbox.Use(comments, outbox.Emits(commentsapi.Posted, &s.posted)),
		web.Serve(o, s.routes()...),
	)
}

func (s *site) routes() []web.Route {
	return []web.Route{
		web.Post("/api/v1/register", s.postRegister, web.Summary("Register a user")),
		web.Post("/api/v1/comment", s.postComment, web.Summary("Comment on an article")),
		web.Get("/api/v1/articles/{article_id}/comments", s.getComments, web.Summary("Read the comments on an article")),
		web.Get("/api/v1/users/{u_id}/notifications", s.getNotifications, web.Summary("Read what was pushed to a user")),
	}
}

type registerInput struct {
	Body user
}

type user struct {
	_         struct{} `json:"-" additionalProperties:"true"`
	Timestamp int64    `json:"timestamp,omitempty" doc:"When, in seconds since 1970."`
	Email     string   `json:"email,omitempty" doc:"One email has one user. Must not be empty."`
	Name      string   `json:"name,omitempty"`
	Language  string   `json:"language,omitempty" doc:"A BCP 47 tag, such as en or zh-TW."`
	Country   string   `json:"country,omitempty" doc:"An ISO 3166 code, such as GB or TW."`
}

// TransformSchema adds what the page of the API fills in.
func (user) TransformSchema(_ web.Registry, s *web.Schema) *web.Schema {
	s.Examples = []any{user{Timestamp: 1767225600, Email: "ann@example.com", Name: "Ann", Language: "en", Country: "GB"}}
	return s
}

type registered struct {
	UserID registerapi.UserID `json:"u_id" doc:"The user's id."`
}

func (s *site) postRegister(ctx context.Context, in *registerInput) (*output[registered], error) {
	b := &in.Body
	if b.Email == "" {
		return refused[registered](codeNoEmail, "email is null."), nil
	}
	id, message, err := s.register.Register(ctx, b.Email, registerapi.Profile{
		Timestamp: b.Timestamp, Email: b.Email, Name: b.Name, Language: b.Language, Country: b.Country,
	})
	if err != nil {
		return nil, err
	}
	out := refused[registered](codeNotRegistered, message)
	if message == "" {
		out.Body.Code = codeOK
	}
	if id != "" {
		out.Body.Data = &registered{UserID: id}
	}
	return out, nil
}

type commentInput struct {
	Body comment
}

type comment struct {
	_             struct{} `json:"-" additionalProperties:"true"`
	Timestamp     int64    `json:"timestamp,omitempty" doc:"When, in seconds since 1970."`
	UserID        string   `json:"u_id,omitempty" doc:"Who comments. Must not be empty."`
	Content       string   `json:"content,omitempty"`
	ArticleID     *int64   `json:"article_id,omitempty" doc:"What is commented on. Must be there."`
	ArticleUserID userID   `json:"article_u_id,omitempty"`
	ParentID      int64    `json:"parent_comment_id,omitempty" doc:"The comment that this one answers; 0 or nothing when it answers the article."`
}

// TransformSchema adds what the page of the API fills in.
func (comment) TransformSchema(_ web.Registry, s *web.Schema) *web.Schema {
	s.Examples = []any{comment{
		Timestamp: 1767225660, UserID: "7000001", Content: "Well written!",
		ArticleID: new(int64(1)), ArticleUserID: userID{"7000000"},
	}}
	return s
}

type commented struct {
	CommentID int64 `json:"comment_id" doc:"The new comment's id, higher than all before it."`
}

func (s *site) postComment(ctx context.Context, in *commentInput) (*output[commented], error) {
	b := &in.Body
	if b.ArticleUserID.UserID == "" || b.UserID == "" {
		return refused[commented](codeNoUser, "article_u_id or u_id is null."), nil
	}
	user, err := s.register.CheckRegistered(ctx, registerapi.UserID(b.UserID))
	if err != nil {
		return nil, err
	}
	if user == nil {
		return refused[commented](codeStranger, "You need to register to comment."), nil
	}
	if b.ArticleID == nil {
		return nil, enoki.Errorf(enoki.InvalidArgument, "body.article_id is missing: send the integer id of the article")
	}
	id, err := s.save(ctx, store.Comment{
		ParentID: b.ParentID, UserID: b.UserID, Content: b.Content,
		ArticleID: *b.ArticleID, ArticleUserID: string(b.ArticleUserID.UserID), Timestamp: b.Timestamp,
	})
	if err != nil {
		return nil, err
	}
	return ok(commented{CommentID: id}), nil
}

// save stores a comment and the event that tells of it, also when its writer
// has gone meanwhile.
func (s *site) save(ctx context.Context, c store.Comment) (int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return s.comments.AddComment(ctx, c, func(c store.Comment, p *store.Posting) error {
		return s.posted(ctx, p, commentsapi.Comment{
			ID: c.ID, ArticleID: c.ArticleID, Author: registerapi.UserID(c.ArticleUserID),
			UserID: registerapi.UserID(c.UserID), Content: c.Content,
		})
	})
}

type articleInput struct {
	ArticleID int64 `path:"article_id" example:"1"`
}

type thread struct {
	ArticleID int64    `json:"article_id"`
	Comments  []*reply `json:"comments" doc:"Those that answer the article, oldest first."`
}

func (s *site) getComments(ctx context.Context, in *articleInput) (*output[thread], error) {
	comments, err := s.comments.CommentsOn(ctx, in.ArticleID)
	if err != nil {
		return nil, err
	}
	return ok(thread{ArticleID: in.ArticleID, Comments: threaded(comments)}), nil
}

type userInput struct {
	UserID string `path:"u_id" example:"7000000"`
}

type notified struct {
	UserID        string                 `json:"u_id"`
	Notifications []pushapi.Notification `json:"notifications" doc:"The latest 100, newest first."`
}

func (s *site) getNotifications(ctx context.Context, in *userInput) (*output[notified], error) {
	list, err := s.push.Notifications(ctx, registerapi.UserID(in.UserID))
	if err != nil {
		return nil, err
	}
	return ok(notified{UserID: in.UserID, Notifications: list}), nil
}
