package simulate

import (
	"context"
	"fmt"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// send queues the messages of m whose time it is; sent were before.
func (p *play) send(m *Mail, sent int) {
	n := m.Count - sent
	if m.Every > 0 && n > 1 {
		n = 1
		p.after(m.Every, func() { p.send(m, sent+1) })
	}
	var ready schedule.Ready
	for range n {
		e := p.entry(m)
		if _, err := p.queue.Enqueue(context.Background(), e); err != nil {
			p.trouble(queue.Key{}, err)
			continue
		}
		ready = ready.Merge(schedule.Ready{Lane: e.Jobs[0].Lane(), Due: p.now, Expires: e.Message.Expires})
		p.tell(delivery.Queued{Time: p.now, Message: e.Message, To: addresses(e)})
	}
	p.step(ready)
}

// entry makes one message of m.
func (p *play) entry(m *Mail) *queue.Entry {
	p.queued++
	e := &queue.Entry{Message: queue.Message{
		ID: queue.ID(fmt.Sprintf("m%08d", p.queued)), From: m.From, Tenant: m.Tenant, Priority: m.Priority,
		Enqueued: p.now, Expires: p.now.Add(m.Lifetime),
	}}
	for i := range m.Recipients {
		if i%jobRecipients == 0 {
			e.Jobs = append(e.Jobs, &queue.Job{
				Key: queue.Key{ID: e.Message.ID, N: len(e.Jobs)}, Message: e.Message, Domain: m.Domain, Due: p.now,
			})
		}
		j := e.Jobs[len(e.Jobs)-1]
		j.Recipients = append(j.Recipients, queue.Recipient{Address: fmt.Sprintf("user%d@%s", i+1, m.Domain)})
	}
	return e
}

func addresses(e *queue.Entry) (to []string) {
	for _, j := range e.Jobs {
		for i := range j.Recipients {
			to = append(to, j.Recipients[i].Address)
		}
	}
	return to
}
