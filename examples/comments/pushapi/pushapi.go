// Package pushapi is the contract of the push service: who calls it and who
// serves it both import it.
package pushapi

import (
	"context"
	"time"

	"github.com/enoki-go/enoki/examples/comments/registerapi"
)

// Name is the name of the service.
const Name = "push"

// Push is the contract.
type Push struct {
	// Push tells a user of a comment, in the user's language. delivered is
	// false, with the message NotRegistered, when there is no such user.
	Push func(ctx context.Context, id registerapi.UserID, content string) (delivered bool, message string, err error) `rpc:"push" args:"u_id,content"`

	// Notifications returns what was pushed to a user, newest first: the
	// latest 100.
	Notifications func(ctx context.Context, id registerapi.UserID) ([]Notification, error) `rpc:"notifications" args:"u_id"`
}

// The messages of Push.
const (
	Delivered     = "push success."
	NotRegistered = "not registered."
)

// Notification is one text that was pushed to a user.
type Notification struct {
	Time     time.Time `json:"time" doc:"When it was pushed."`
	Language string    `json:"language" doc:"Of the text, as a BCP 47 tag." example:"en"`
	Text     string    `json:"text"`
}
