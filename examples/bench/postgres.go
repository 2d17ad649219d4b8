package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
)

// ownPostgres is the -queue that asks for a server of this program's own.
const ownPostgres = "postgres:"

// startPostgres makes and starts a PostgreSQL, with everything it keeps in a folder. It syncs, and has the memory of a server that does
// nothing else; its other settings are the usual ones.
func startPostgres(dir string) (*server, error) {
	initdb, postgres, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	create := exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	if err := runIn(create, dir); err != nil {
		return nil, err
	}
	if out, err := create.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(postgres, "-D", data, "-k", dir, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB")
	if err := runIn(cmd, dir); err != nil {
		return nil, err
	}
	return startServer(addr, cmd)
}

// postgresPrograms finds initdb and postgres, of the newest version where Debian keeps them.
func postgresPrograms() (initdb, postgres string, err error) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		initdb = found[len(found)-1]
	} else if initdb, err = exec.LookPath("initdb"); err != nil {
		return "", "", fmt.Errorf("is PostgreSQL not installed? %w", err)
	}
	return initdb, filepath.Join(filepath.Dir(initdb), "postgres"), nil
}

// runIn has a command run in dir, as the user postgres if this one is root, whom PostgreSQL refuses.
func runIn(cmd *exec.Cmd, dir string) error {
	cmd.Dir = dir
	if os.Getuid() != 0 {
		return nil
	}
	return runAs(cmd, "postgres")
}

// ownDatabase starts a PostgreSQL in a new folder. stop ends it and removes the folder.
func ownDatabase(parent string) (url string, stop func(), err error) {
	dir, err := os.MkdirTemp(parent, "bench")
	if err != nil {
		return "", nil, err
	}
	s, err := startPostgres(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() {
		s.stop()
		os.RemoveAll(dir)
	}
	url = "postgres://postgres@" + s.addr + "/postgres?sslmode=disable&pool_max_conns=16"
	if err := awaitPostgres(url); err != nil {
		stop()
		return "", nil, err
	}
	return url, stop, nil
}

// awaitPostgres waits until a server that listens lets one in.
func awaitPostgres(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return err
		}
		err = pool.Ping(ctx)
		pool.Close()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// settlePostgres has the server write what it has still to write, so that the next who uses it doesn't pay for the one before. A
// role that may not ask for that goes without.
func settlePostgres(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, "CHECKPOINT")
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "42501" {
		err = nil
	}
	return err
}

// openPostgres makes a queue in a new schema of a database. close drops it.
func openPostgres(url string) (_ queue.Queue, close func() error, err error) {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	schema := fmt.Sprintf("bench_%d", time.Now().UnixNano())
	q, err := pgqueue.Open(ctx, pool, pgqueue.Options{Schema: schema})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return q, func() error {
		defer pool.Close()
		closed := q.Close()
		_, err := pool.Exec(ctx, "DROP SCHEMA "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
		return errors.Join(closed, err)
	}, nil
}
