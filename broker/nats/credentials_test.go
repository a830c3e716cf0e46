package nats_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/enoki-go/enoki/broker/nats"
)

// operator runs a server whose users have tokens.
type operator struct {
	t       *testing.T
	server  *natsserver.Server
	account nkeys.KeyPair
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	signer, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	signerName, _ := signer.PublicKey()
	accounts := &natsserver.MemAccResolver{}
	account := func(limits jwt.JetStreamLimits) (nkeys.KeyPair, string) {
		key, err := nkeys.CreateAccount()
		if err != nil {
			t.Fatal(err)
		}
		name, _ := key.PublicKey()
		claims := jwt.NewAccountClaims(name)
		claims.Limits.JetStreamLimits = limits
		token, err := claims.Encode(signer)
		if err != nil {
			t.Fatal(err)
		}
		if err := accounts.Store(name, token); err != nil {
			t.Fatal(err)
		}
		return key, name
	}
	_, system := account(jwt.JetStreamLimits{})
	ours, _ := account(jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1})
	server := newServer(t, &natsserver.Options{
		JetStream: true, AccountResolver: accounts, SystemAccount: system,
		TrustedOperators: []*jwt.OperatorClaims{jwt.NewOperatorClaims(signerName)},
	})
	return &operator{t, server, ours}
}

// write writes the credentials of a new user and returns its name.
func (o *operator) write(file string) string {
	o.t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		o.t.Fatal(err)
	}
	name, _ := user.PublicKey()
	token, err := jwt.NewUserClaims(name).Encode(o.account)
	if err != nil {
		o.t.Fatal(err)
	}
	seed, _ := user.Seed()
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return name
}

// awaitUser waits for a connection of user and returns its number on the
// server, if it is another one than old.
func (o *operator) awaitUser(user string, old uint64) uint64 {
	o.t.Helper()
	var cid uint64
	eventually(o.t, func() error {
		conns, err := o.server.Connz(&natsserver.ConnzOptions{Username: true})
		if err != nil {
			return err
		}
		for _, c := range conns.Conns {
			if cid = c.Cid; c.AuthorizedUser == user && c.Cid != old {
				return nil
			}
		}
		return fmt.Errorf("no new connection of %s", user)
	})
	return cid
}

// cut ends a connection on the side of the server.
func (o *operator) cut(cid uint64) {
	o.t.Helper()
	if err := o.server.DisconnectClientByID(cid); err != nil {
		o.t.Fatal(err)
	}
}

func TestCredentialsAreReadAgain(t *testing.T) {
	o := newOperator(t)
	file := filepath.Join(t.TempDir(), "user.creds")
	first := o.write(file)
	link := dial(t, nats.Config{URL: "nats://" + o.server.Addr().String(), Credentials: file})
	defer link.Close()
	cid := o.awaitUser(first, 0)
	second := o.write(file)
	o.cut(cid)
	cid = o.awaitUser(second, cid)

	if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.cut(cid)
	o.awaitUser(second, cid)
}

func TestCredentialsThatCannotBeRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "user.creds")
	dialError(t, nats.Config{Credentials: file})
	if err := os.WriteFile(file, []byte("no credentials"), 0o600); err != nil {
		t.Fatal(err)
	}
	dialError(t, nats.Config{Credentials: file})
}
