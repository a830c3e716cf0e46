package register

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/registerapi"
)

// users is a store.Users with function fields.
type users struct {
	register func(email, data string) (string, bool, error)
	userData func(id string) (string, error)
}

func (u users) Register(_ context.Context, email string, data json.RawMessage) (string, bool, error) {
	return u.register(email, string(data))
}

func (u users) UserData(_ context.Context, id string) (json.RawMessage, error) {
	data, err := u.userData(id)
	if data == "" {
		return nil, err
	}
	return json.RawMessage(data), err
}

func profile(t *testing.T, text string) registerapi.Profile {
	t.Helper()
	var p registerapi.Profile
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRegister(t *testing.T) {
	stored := ""
	var log bytes.Buffer
	r := contract(users{register: func(email, data string) (string, bool, error) {
		switch email {
		case "known@example.com":
			return "7000001", false, nil
		case "unlucky@example.com":
			return "", false, errors.New("disk full")
		}
		stored = data
		return "7000002", true, nil
	}}, slog.New(slog.NewTextHandler(&log, nil)))
	const data = `{"name":"Ann","more":[1.0]}`
	for _, c := range []struct {
		email, data string
		id          registerapi.UserID
		message     string
	}{
		{"new@example.com", data, "7000002", ""},
		{"known@example.com", data, "7000001", "already registered."},
		{"unlucky@example.com", data, "", "register failed."},
		{"", data, "", "register failed."},
		{"null@example.com", `null`, "", "register failed."},
	} {
		id, message, err := r.Register(t.Context(), c.email, profile(t, c.data))
		if id != c.id || message != c.message || err != nil {
			t.Errorf("%q: %q, %q, %v; want %q, %q", c.email, id, message, err, c.id, c.message)
		}
	}
	if stored != data {
		t.Errorf("stored %s, want %s", stored, data)
	}
	if !strings.Contains(log.String(), "disk full") {
		t.Errorf("the log does not say why: %s", log.String())
	}
}

func TestCheckRegistered(t *testing.T) {
	r := contract(users{userData: func(id string) (string, error) {
		switch id {
		case "7000001":
			return `{"name":"Ann","more":[1.0]}`, nil
		case "7000002":
			return `{'name': 'Bob'}`, nil
		case "7000003":
			return "", errors.New("gone")
		}
		return "", nil
	}}, slog.New(slog.DiscardHandler))
	p, err := r.CheckRegistered(t.Context(), "7000001")
	if err != nil || p == nil || p.Name != "Ann" {
		t.Fatalf("%+v, %v", p, err)
	}
	if text, err := json.Marshal(p); err != nil || string(text) != `{"name":"Ann","more":[1.0]}` {
		t.Errorf("it is sent as %s, %v", text, err)
	}
	if p, err := r.CheckRegistered(t.Context(), "7999999"); p != nil || err != nil {
		t.Errorf("a stranger: %+v, %v; want nil, nil", p, err)
	}
	if _, err := r.CheckRegistered(t.Context(), "7000002"); !errors.Is(err, enoki.Internal) {
		t.Errorf("data that is not JSON: %v", err)
	}
	if _, err := r.CheckRegistered(t.Context(), "7000003"); err == nil {
		t.Error("a store that fails: no error")
	}
}

func TestService(t *testing.T) {
	if err := New(users{}, slog.New(slog.DiscardHandler)).Check(); err != nil {
		t.Error(err)
	}
}
