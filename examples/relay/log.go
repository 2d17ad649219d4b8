package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// newLogger returns a logger that writes one line per event.
func newLogger(w io.Writer, json bool) *slog.Logger {
	if json {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// observer logs what happens to messages. The keys of its lines are read by programs.
type observer struct{ log *slog.Logger }

// Observe writes one line for e: for an attempt, this is one line per recipient. What is rare has a function of its own, since all
// events in one frame made the stacks grow of the goroutines that take and send mail, each time.
func (o observer) Observe(e delivery.Event) {
	switch e := e.(type) {
	case delivery.Queued:
		o.queued(&e)
	case delivery.Attempted:
		o.attempted(&e)
	default:
		o.rare(e)
	}
}

func (o observer) queued(e *delivery.Queued) {
	o.line(slog.LevelInfo, "queued", id(&e.Message), from(&e.Message), slog.Any("to", e.To))
}

func (o observer) attempted(e *delivery.Attempted) {
	o.line(slog.LevelInfo, "attempt", id(&e.Message), from(&e.Message),
		slog.String("to", e.Recipient),
		slog.String("host", e.Reply.Host),
		slog.String("addr", e.Reply.Addr),
		slog.String("phase", e.Reply.Phase),
		slog.Int("code", e.Reply.Code),
		slog.String("enhanced", e.Reply.Enhanced),
		slog.String("text", e.Reply.Text),
		slog.String("outcome", string(e.Outcome)),
		slog.Duration("took", e.Took))
}

func (o observer) rare(e delivery.Event) {
	switch e := e.(type) {
	case delivery.Bounced:
		o.line(slog.LevelInfo, "bounced", id(&e.Message), from(&e.Message), slog.Any("to", addresses(e.Recipients)),
			slog.String("report", string(e.Report)))
	case delivery.Held:
		o.line(slog.LevelWarn, "held", id(&e.Message), from(&e.Message), slog.String("why", e.Why))
	case delivery.Downgraded:
		o.line(slog.LevelWarn, "downgraded", id(&e.Message), from(&e.Message), slog.String("domain", e.Domain), slog.String("host", e.Host),
			slog.String("had", e.Had), slog.String("has", e.Has))
	case delivery.Trouble:
		o.line(slog.LevelError, "trouble", slog.String("id", string(e.Key.ID)), slog.String("error", e.Err.Error()))
	}
}

func (o observer) line(level slog.Level, msg string, attrs ...slog.Attr) {
	o.log.LogAttrs(context.Background(), level, msg, attrs...)
}

func id(m *queue.Message) slog.Attr { return slog.String("id", string(m.ID)) }

func from(m *queue.Message) slog.Attr { return slog.String("from", m.From) }

func addresses(list []queue.Recipient) (to []string) {
	for i := range list {
		to = append(to, list[i].Address)
	}
	return to
}
