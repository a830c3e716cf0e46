package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/enoki-go/enoki/internal/testserver"
	"github.com/enoki-go/enoki/outbox/outboxtest"
	"github.com/enoki-go/enoki/outbox/postgres"
)

func TestContract(t *testing.T) {
	server := testserver.Postgres(t)
	outboxtest.Run(t, func(t *testing.T) outboxtest.Database[*sql.Tx] {
		db := open(t, server)
		tx := postgres.PerCall(db, nil)
		return outboxtest.Database[*sql.Tx]{
			Store: postgres.New(db), PerCall: tx, Inbox: postgres.NewInbox(tx),
			Write: func(ctx context.Context, tx *sql.Tx, name string) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO data (name) VALUES ($1)", name)
				return err
			},
			Written: func(ctx context.Context) (names []string, err error) {
				rows, err := db.QueryContext(ctx, "SELECT name FROM data")
				if err != nil {
					return nil, err
				}
				defer rows.Close()
				for rows.Next() {
					var name string
					err = errors.Join(err, rows.Scan(&name))
					names = append(names, name)
				}
				return names, errors.Join(err, rows.Err())
			},
		}
	})
}

// TestCreateAtOnce: several processes make the tables at the same time.
func TestCreateAtOnce(t *testing.T) {
	db := connect(t, testserver.Postgres(t).URL())
	failures := make(chan error, 8)
	for range cap(failures) {
		go func() { failures <- postgres.Create(context.Background(), db) }()
	}
	for range cap(failures) {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
}

var databases atomic.Int64 // names them

// open makes an empty database with the tables.
func open(t *testing.T, server *testserver.Server) *sql.DB {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if _, err := connect(t, server.URL()).Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	db := connect(t, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", server.Port(), name))
	if err := postgres.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE data (name text)"); err != nil {
		t.Fatal(err)
	}
	return db
}

func connect(t *testing.T, url string) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() }) // after the services have stopped
	return db
}
