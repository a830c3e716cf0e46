// Package store says what the comment site keeps and asks of whoever keeps
// it: users, comments and notifications. Packages redis and bolt keep them,
// package storetest proves that they do so, and package storeurl opens one.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/enoki-go/enoki/outbox"
)

// Ids of users are decimal numbers from FirstUserID to LastUserID.
const (
	FirstUserID = 7000000
	LastUserID  = 9999999
)

// MaxNotifications is how many notifications a store keeps for one user; the
// oldest make room for new ones.
const MaxNotifications = 100

// ErrNoIDs says that every id from FirstUserID to LastUserID has been given.
var ErrNoIDs = errors.New("every user id from 7000000 to 9999999 has been given")

// Store is all of it in one place. Its methods may be called concurrently. A
// method that writes returns nil once the write is as safe as the place makes
// it: synced to the disk, or accepted by the Redis server.
type Store interface {
	Users
	Comments
	Notifications

	// Close gives up the place. No other method may run or follow.
	Close() error
}

// Users is what the register service needs.
type Users interface {
	// Register gives email an id and stores data, a JSON value, as its user
	// data, both or neither whatever dies meanwhile. One email has one id,
	// however many register it at once: isNew is true for one of them only,
	// and the data of that one is kept. An id is never given twice. The
	// error is ErrNoIDs or that of the place. email must not be empty.
	Register(ctx context.Context, email string, data json.RawMessage) (id string, isNew bool, err error)

	// UserData returns the data stored for an id, as it was stored, or nil
	// when nobody has this id.
	UserData(ctx context.Context, id string) (json.RawMessage, error)
}

// Comments is what the API service needs.
type Comments interface {
	// AddComment stores c under a new id, higher than all before it, and
	// returns the id; c.ID is not looked at. announce gets the comment with
	// its id, and what it puts into p is stored together with the comment; its
	// error keeps both from being stored. It may run twice.
	AddComment(ctx context.Context, c Comment, announce func(c Comment, p *Posting) error) (id int64, err error)

	// CommentsOn returns the comments on an article in the order of their ids.
	CommentsOn(ctx context.Context, articleID int64) ([]Comment, error)

	// The store is an outbox, too: what was put into a Posting waits here.
	outbox.Store[*Posting]
}

// Posting is what is stored in one piece with a comment.
type Posting struct {
	Events []outbox.Record
}

// Put is the Put of every store: what p holds is stored when AddComment does.
func (p *Posting) Put(r outbox.Record) error {
	p.Events = append(p.Events, r)
	return nil
}

// Notifications is what the push service needs.
type Notifications interface {
	// AddNotification stores n for a user, unless it is of an event, and one
	// of the same event is kept for the user.
	AddNotification(ctx context.Context, userID string, n Notification) error

	// NotificationsFor returns the MaxNotifications newest notifications for
	// a user, newest first.
	NotificationsFor(ctx context.Context, userID string) ([]Notification, error)
}

// Comment is one comment on an article. Its JSON is what stores keep.
type Comment struct {
	ID            int64  `json:"comment_id"`
	ParentID      int64  `json:"parent_comment_id"` // the comment it answers; 0 when it answers the article
	UserID        string `json:"u_id"`              // who wrote it
	Content       string `json:"content"`
	ArticleID     int64  `json:"article_id"`
	ArticleUserID string `json:"article_u_id"` // who wrote the article
	Timestamp     int64  `json:"timestamp"`    // as the writer's program sent it
}

// Notification is one text that was pushed to a user. Its JSON is what stores
// keep.
type Notification struct {
	EventID  string    `json:"event_id,omitempty"` // of the event that it tells of, if it is one
	Time     time.Time `json:"time"`               // when it was pushed
	Language string    `json:"language"`           // of Text, as a BCP 47 tag
	Text     string    `json:"text"`
}
