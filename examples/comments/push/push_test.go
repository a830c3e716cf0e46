package push

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/examples/comments/registerapi"
	"github.com/enoki-go/enoki/examples/comments/store"
)

// memory is a store.Notifications of one test.
type memory map[string][]store.Notification

func (m memory) AddNotification(_ context.Context, userID string, n store.Notification) error {
	m[userID] = append([]store.Notification{n}, m[userID]...)
	return nil
}

func (m memory) NotificationsFor(_ context.Context, userID string) ([]store.Notification, error) {
	return m[userID], nil
}

func TestPush(t *testing.T) {
	var log bytes.Buffer
	kept := memory{}
	p := newPusher(kept, slog.New(slog.NewTextHandler(&log, nil)))
	p.register.CheckRegistered = func(_ context.Context, id registerapi.UserID) (*registerapi.Profile, error) {
		switch id {
		case "7000001":
			return &registerapi.Profile{Name: "Anna", Language: "de", Country: "AT"}, nil
		case "7000002":
			return nil, errors.New("register is down")
		}
		return nil, nil
	}
	c := p.contract()

	delivered, message, err := c.Push(t.Context(), "7000001", "Gut!")
	if !delivered || message != "push success." || err != nil {
		t.Errorf("push to a user: %v, %q, %v", delivered, message, err)
	}
	delivered, message, err = c.Push(t.Context(), "7999999", "Gut!")
	if delivered || message != "not registered." || err != nil {
		t.Errorf("push to a stranger: %v, %q, %v", delivered, message, err)
	}
	if _, _, err := c.Push(t.Context(), "7000002", "Gut!"); err == nil {
		t.Error("push without register: no error")
	}

	list, err := c.Notifications(t.Context(), "7000001")
	if err != nil || len(list) != 1 || list[0].Language != "de" || list[0].Text != "Neuer Kommentar zu Ihrem Artikel: „Gut!“" || list[0].Time.IsZero() {
		t.Errorf("notifications: %+v, %v", list, err)
	}
	if list, err := c.Notifications(t.Context(), "7999999"); err != nil || list == nil || len(list) != 0 {
		t.Errorf("notifications for a stranger: %+v, %v; want an empty list", list, err)
	}
	for _, want := range []string{"u_id=7000001", "Gut!", "name=[personal]"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "Anna") {
		t.Errorf("the log shows the user's name: %s", log.String())
	}
}

func TestService(t *testing.T) {
	if err := New(memory{}, slog.New(slog.DiscardHandler)).Check(); err != nil {
		t.Error(err)
	}
}
