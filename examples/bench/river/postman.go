package main

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/riverqueue/river"
	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// mail is a message, as the arguments of a job.
type mail struct {
	From, To, Subject, Text string
}

// Kind is what River calls the job.
func (mail) Kind() string { return "mail" }

// postman is a worker that sends mail.
type postman struct {
	river.WorkerDefaults[mail]
	server string
	idle   chan connection // as many as there may be workers
}

// connection is one to the sink that is kept.
type connection struct {
	client  *gomail.Client
	session *smtp.Client
}

func newPostman(server string) *postman {
	return &postman{server: server, idle: make(chan connection, river.QueueNumWorkersMax)}
}

// Work sends a message through a connection that is idle, or a new one.
func (p *postman) Work(ctx context.Context, job *river.Job[mail]) error {
	m := gomail.NewMsg(gomail.WithEncoding(gomail.NoEncoding))
	if err := m.From(job.Args.From); err != nil {
		return err
	}
	if err := m.To(job.Args.To); err != nil {
		return err
	}
	m.Subject(job.Args.Subject)
	m.SetDate()
	m.SetMessageID()
	m.SetBodyString(gomail.TypeTextPlain, job.Args.Text)
	c, err := p.connection(ctx)
	if err != nil {
		return err
	}
	if err := c.client.SendWithSMTPClient(c.session, m); err != nil {
		c.close()
		return err
	}
	p.idle <- c
	return nil
}

// connection is the one that was idle last, or a new one.
func (p *postman) connection(ctx context.Context) (connection, error) {
	select {
	case c := <-p.idle:
		return c, nil
	default:
	}
	host, digits, err := net.SplitHostPort(p.server)
	if err != nil {
		return connection{}, err
	}
	port, err := strconv.Atoi(digits)
	if err != nil {
		return connection{}, err
	}
	client, err := gomail.NewClient(host, gomail.WithPort(port), gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithHELO("bench.example"),
		gomail.WithTimeout(time.Minute), gomail.WithoutNoop(), gomail.WithoutRset())
	if err != nil {
		return connection{}, err
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	return connection{client, session}, err
}

func (c connection) close() { _ = c.client.CloseWithSMTPClient(c.session) }

// close ends the connections that are kept.
func (p *postman) close() {
	for {
		select {
		case c := <-p.idle:
			c.close()
		default:
			return
		}
	}
}
