package main

import (
	"context"
	"os"
	"path/filepath"
)

// comparison sets examples/relay beside Postfix.
type comparison struct {
	RateRatio   figure      `json:"rate_ratio"`   // of the relay's over Postfix's
	CPURatio    figure      `json:"cpu_ratio"`    // per message
	MemoryRatio figure      `json:"memory_ratio"` // of peak_anon_mb
	Relay       *submission `json:"relay"`
	Postfix     *submission `json:"postfix"`
}

// relay sends the load through examples/relay and Postfix, in turns. Both run all the time, as an idle one costs nothing.
func (b *bench) relay(ctx context.Context) (any, error) {
	dir, err := os.MkdirTemp(b.dir, "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	theirs, err := startPostfix(dir, b.addr, b.concurrency)
	if err != nil {
		return nil, err
	}
	defer theirs.stop()
	ours, err := startRelay(filepath.Join(dir, "relay"), b.addr)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	var relay, postfix []*submission
	for range b.rounds {
		for _, turn := range []struct {
			server *server
			to     *[]*submission
		}{{theirs, &postfix}, {ours, &relay}} {
			f, err := b.submit(ctx, turn.server.addr, turn.server.family(), b.load())
			if err != nil {
				return nil, err
			}
			*turn.to = append(*turn.to, f)
		}
	}
	delivered := func(f *submission) figure { return f.DeliveredPerS }
	c := comparison{Relay: median(relay, delivered), Postfix: median(postfix, delivered)}
	c.RateRatio = c.Relay.DeliveredPerS / c.Postfix.DeliveredPerS
	c.CPURatio = c.Relay.CPU / c.Postfix.CPU
	c.MemoryRatio = c.Relay.PeakAnonymous / c.Postfix.PeakAnonymous
	return c, nil
}
