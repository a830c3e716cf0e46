// Package push is the service that tells users what happened, each in their
// language. For now a user is told by a notification that is kept.
package push

import (
	"context"
	"log/slog"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/commentsapi"
	"github.com/enoki-go/enoki/examples/comments/pushapi"
	"github.com/enoki-go/enoki/examples/comments/registerapi"
	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/telemetry"
)

// attempts is how often a comment is tried to be told of: for half an hour and
// more, should the register service be away so long.
const attempts = 20

type pusher struct {
	register registerapi.Register
	kept     store.Notifications
	texts    *texts
	log      *slog.Logger
}

// New returns the service, which keeps the notifications in kept.
func New(kept store.Notifications, log *slog.Logger) *enoki.Service {
	p := newPusher(kept, log)
	return enoki.NewService(pushapi.Name,
		enoki.Needs(registerapi.Name, &p.register),
		enoki.RPC(p.contract()),
		enoki.Subscription[commentsapi.Comment]{
			Event: commentsapi.Posted, Handle: p.onPosted,
			OnError: enoki.Retry{Attempts: attempts}, OrderBy: author,
		},
	)
}

// author has the comments on one author's articles told in their order.
func author(c commentsapi.Comment) string { return string(c.Author) }

func newPusher(kept store.Notifications, log *slog.Logger) *pusher {
	return &pusher{kept: kept, texts: newTexts(), log: log.With("service", pushapi.Name)}
}

func (p *pusher) contract() pushapi.Push {
	return pushapi.Push{Push: p.push, Notifications: p.notifications}
}

// onPosted tells the author of the article. An event may come twice; the
// author is told once.
func (p *pusher) onPosted(ctx context.Context, c commentsapi.Comment) error {
	_, _, err := p.push(ctx, c.Author, c.Content)
	return err
}

func (p *pusher) push(ctx context.Context, id registerapi.UserID, content string) (bool, string, error) {
	user, err := p.register.CheckRegistered(ctx, id)
	if err != nil {
		return false, "", err
	}
	if user == nil {
		p.log.InfoContext(ctx, "not pushed, since the user is not registered", "u_id", id)
		return false, pushapi.NotRegistered, nil
	}
	text, language := p.texts.find(user.Language, user.Country, content)
	n := store.Notification{EventID: enoki.MessageID(ctx), Time: time.Now(), Language: language, Text: text}
	if err := p.kept.AddNotification(ctx, string(id), n); err != nil {
		return false, "", err
	}
	p.log.InfoContext(ctx, "pushed", "u_id", id, "name", telemetry.Personal(user.Name), "language", language, "text", text)
	return true, pushapi.Delivered, nil
}

func (p *pusher) notifications(ctx context.Context, id registerapi.UserID) ([]pushapi.Notification, error) {
	kept, err := p.kept.NotificationsFor(ctx, string(id))
	if err != nil {
		return nil, err
	}
	out := make([]pushapi.Notification, len(kept))
	for i, n := range kept {
		out[i] = pushapi.Notification{Time: n.Time, Language: n.Language, Text: n.Text}
	}
	return out, nil
}
