// Package register is the service that knows the users.
package register

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/examples/comments/registerapi"
	"github.com/enoki-go/enoki/examples/comments/store"
	"github.com/enoki-go/enoki/telemetry"
)

type registration struct {
	users store.Users
	log   *slog.Logger
}

// New returns the service, which keeps its users in users.
func New(users store.Users, log *slog.Logger) *enoki.Service {
	return enoki.NewService(registerapi.Name, enoki.RPC(contract(users, log)))
}

func contract(users store.Users, log *slog.Logger) registerapi.Register {
	r := &registration{users: users, log: log.With("service", registerapi.Name)}
	return registerapi.Register{CheckRegistered: r.check, Register: r.register}
}

func (r *registration) check(ctx context.Context, id registerapi.UserID) (*registerapi.Profile, error) {
	data, err := r.users.UserData(ctx, string(id))
	if data == nil || err != nil {
		return nil, err
	}
	var p *registerapi.Profile
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, enoki.Errorf(enoki.Internal, "the stored data of user %q is not JSON: %w", id, err)
	}
	return p, nil
}

// register reports a failure by its message, as its callers expect it; the
// reason is for the log.
func (r *registration) register(ctx context.Context, email string, data registerapi.Profile) (registerapi.UserID, string, error) {
	if email == "" || data.Empty() {
		r.log.WarnContext(ctx, "registration without email or user data", "email", telemetry.Personal(email))
		return "", registerapi.Failed, nil
	}
	text, err := json.Marshal(data)
	if err != nil {
		return "", "", err
	}
	id, isNew, err := r.users.Register(ctx, email, text)
	if err != nil {
		r.log.ErrorContext(ctx, "registration failed", "email", telemetry.Personal(email), "error", err)
		return "", registerapi.Failed, nil
	}
	if !isNew {
		return registerapi.UserID(id), registerapi.AlreadyRegistered, nil
	}
	r.log.InfoContext(ctx, "registered", "email", telemetry.Personal(email), "u_id", id)
	return registerapi.UserID(id), "", nil
}
