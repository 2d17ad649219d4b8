package shaping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The JSON forms leave out what is zero and write durations as people do, as in
//
//	{"connections":5,"lifetime":"5m","message_rate":{"n":100,"per":"1h","burst":10}}
//
// What makes no sense is neither written nor read, and an unknown key is an error, since it is most often a misspelt one.

// maxJSON bounds the octets of one value; names of 255 octets take six times that at most.
const maxJSON = 4096

// duration is a time.Duration in the form "1h30m".
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) {
	s := time.Duration(d).String()
	for _, zero := range []struct{ unit, rest string }{{"m", "0s"}, {"h", "0m"}} {
		if strings.HasSuffix(s, zero.unit+zero.rest) {
			s = strings.TrimSuffix(s, zero.rest)
		}
	}
	return []byte(s), nil
}

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

type rateJSON struct {
	N     int      `json:"n,omitzero"`
	Per   duration `json:"per,omitzero"`
	Burst int      `json:"burst,omitzero"`
}

type limitsJSON struct {
	Connections    int      `json:"connections,omitzero"`
	Start          int      `json:"start,omitzero"`
	Messages       int      `json:"messages,omitzero"`
	Lifetime       duration `json:"lifetime,omitzero"`
	Idle           duration `json:"idle,omitzero"`
	Rest           duration `json:"rest,omitzero"`
	MessageRate    rateJSON `json:"message_rate,omitzero"`
	ConnectionRate rateJSON `json:"connection_rate,omitzero"`
}

type orderJSON struct {
	Rule        string   `json:"rule"`
	Action      Action   `json:"action"`
	For         duration `json:"for,omitzero"`
	Rate        rateJSON `json:"rate,omitzero"`
	Connections int      `json:"connections,omitzero"`
	Messages    int      `json:"messages,omitzero"`
}

func (r Rate) form() rateJSON { return rateJSON{r.N, duration(r.Per), r.Burst} }

func (j rateJSON) rate() Rate { return Rate{j.N, time.Duration(j.Per), j.Burst} }

func (l Limits) form() limitsJSON {
	return limitsJSON{
		l.Connections, l.Start, l.Messages, duration(l.Lifetime), duration(l.Idle), duration(l.Rest), l.MessageRate.form(), l.ConnectionRate.form(),
	}
}

func (j limitsJSON) limits() Limits {
	return Limits{
		j.Connections, j.Start, j.Messages, time.Duration(j.Lifetime), time.Duration(j.Idle), time.Duration(j.Rest), j.MessageRate.rate(), j.ConnectionRate.rate(),
	}
}

func (o Order) form() orderJSON {
	return orderJSON{o.Rule, o.Action, duration(o.For), o.Rate.form(), o.Connections, o.Messages}
}

func (j orderJSON) order() Order {
	return Order{j.Rule, j.Action, time.Duration(j.For), j.Rate.rate(), j.Connections, j.Messages}
}

// MarshalJSON returns a form such as {"n":100,"per":"1h","burst":10}, or an error if r makes no sense.
func (r Rate) MarshalJSON() ([]byte, error) { return encode("Rate", r, Rate.form) }

// UnmarshalJSON reads what MarshalJSON returns; {} is the zero Rate.
func (r *Rate) UnmarshalJSON(data []byte) error { return decode("Rate", data, r, rateJSON.rate) }

// MarshalJSON returns a form such as {"connections":5,"idle":"30s"}, without the zero fields, or an error if l makes no sense.
func (l Limits) MarshalJSON() ([]byte, error) { return encode("Limits", l, Limits.form) }

// UnmarshalJSON reads what MarshalJSON returns; what isn't in it becomes zero.
func (l *Limits) UnmarshalJSON(data []byte) error {
	return decode("Limits", data, l, limitsJSON.limits)
}

// MarshalJSON returns a form such as {"rule":"google 4.7.28","action":"pause","for":"30m"}, or an error if o makes no sense.
func (o Order) MarshalJSON() ([]byte, error) { return encode("Order", o, Order.form) }

// UnmarshalJSON reads what MarshalJSON returns.
func (o *Order) UnmarshalJSON(data []byte) error { return decode("Order", data, o, orderJSON.order) }

type checked interface{ check() error }

// encode returns the JSON of a value of the named type.
func encode[T checked, J any](name string, v T, form func(T) J) ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("shaping: %w", within(name, err))
	}
	return json.Marshal(form(v))
}

// decode sets v, of the named type, from its JSON, or leaves it alone.
func decode[T checked, J any](name string, data []byte, v *T, value func(J) T) error {
	if len(data) > maxJSON {
		return fmt.Errorf("shaping: %s has more than %d octets of JSON", name, maxJSON)
	}
	var form J
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&form); err != nil {
		return fmt.Errorf("shaping: %s: %w", name, err)
	}
	read := value(form)
	if err := read.check(); err != nil {
		return fmt.Errorf("shaping: %w", within(name, err))
	}
	*v = read
	return nil
}
