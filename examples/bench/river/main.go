// River sends mail as many programs do today: jobs of github.com/riverqueue/river in PostgreSQL, whose workers send with
// github.com/wneessen/go-mail. It is what examples/bench sets beside a Sender, and starts:
//
//	go run ./examples/bench -mode river -messages 20000 -rounds 3
//
// Each caller inserts one job at a time, with the message in its arguments, and each insert is a transaction of its own, as Enqueue is:
// a message is accepted when it is durable. River works as fast as it can be set to: it fetches as soon as there is something, and
// completes jobs in batches. Each worker keeps a connection, and leaves out the NOOP before a message. Jobs are in a schema of
// their own, which is dropped at the end.
//
// The program prints a line when it is ready, begins when it reads one, prints when each message was handed over and how long that
// took, and ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// load is what is to be sent.
type load struct {
	messages, size, domains, callers int
}

func main() {
	var l load
	database := flag.String("database", "", "`address` of a PostgreSQL database")
	sink := flag.String("sink", "", "`address` of the server that gets all mail")
	workers := flag.Int("workers", 0, "`number` of workers")
	flag.IntVar(&l.messages, "messages", 1000, "`number` of messages")
	flag.IntVar(&l.size, "size", 10240, "`octets` of a message")
	flag.IntVar(&l.domains, "domains", 100, "`number` of domains")
	flag.IntVar(&l.callers, "callers", 16, "`number` of callers that insert jobs")
	flag.Parse()
	if err := run(context.Background(), *database, newPostman(*sink), *workers, l); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

// run makes a queue in a new schema, and has it worked on until the input ends.
func run(ctx context.Context, database string, w *postman, workers int, l load) (err error) {
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	schema := fmt.Sprintf("river_%d", time.Now().UnixNano())
	if _, err := pool.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize()); err != nil {
		return err
	}
	defer func() {
		_, dropped := pool.Exec(ctx, "DROP SCHEMA "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
		err = errors.Join(err, dropped)
	}()
	client, err := open(ctx, pool, schema, w, workers)
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Stop(ctx)); w.close() }()

	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	called, took, err := l.insert(ctx, client)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	if err := errors.Join(binary.Write(out, binary.BigEndian, called), binary.Write(out, binary.BigEndian, took), out.Flush()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// open makes River's tables, and a client with the settings that were the fastest here.
func open(ctx context.Context, pool *pgxpool.Pool, schema string, w *postman, workers int) (*river.Client[pgx.Tx], error) {
	driver := riverpgxv5.New(pool)
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: schema, Logger: quiet})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	known := river.NewWorkers()
	river.AddWorker(known, w)
	return river.NewClient(driver, &river.Config{
		Schema:        schema,
		Logger:        quiet,
		Workers:       known,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		FetchCooldown: 5 * time.Millisecond,
	})
}

// insert has callers insert the jobs of l, one at a time each. It returns when each was handed over, and how long that took.
func (l load) insert(ctx context.Context, client *river.Client[pgx.Tx]) (called, took []int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	called, took = make([]int64, l.messages), make([]int64, l.messages)
	text := l.text()
	var next atomic.Int64
	var callers sync.WaitGroup
	for range l.callers {
		callers.Go(func() {
			for n := int(next.Add(1)) - 1; n < l.messages && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				began := time.Now()
				called[n] = began.UnixNano()
				if _, err := client.Insert(ctx, l.mail(n, text), nil); err != nil {
					cancel(fmt.Errorf("message %d: %w", n, err))
				}
				took[n] = int64(time.Since(began))
			}
		})
	}
	callers.Wait()
	return called, took, context.Cause(ctx)
}

// headSize is about what the header of a message takes.
const headSize = 400

// text is the text of a message but for its last line.
func (l load) text() string {
	const line = "The quick brown fox jumps over the lazy dog, and the lazy dog lets it pass.\r\n"
	return strings.Repeat(line, max(0, l.size-headSize)/len(line))
}

// mail is message n, whose last line tells the sink so.
func (l load) mail(n int, text string) mail {
	return mail{
		From:    "bench@sender.example",
		To:      fmt.Sprintf("r%d@domain%05d.example", n, n%l.domains),
		Subject: "One of many",
		Text:    fmt.Sprintf("%sMessage number %010d\r\n", text, n),
	}
}
