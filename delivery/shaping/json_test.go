package shaping

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestJSON(t *testing.T) {
	tests := []struct {
		value any
		want  string
	}{
		{Rate{}, `{}`},
		{Rate{N: 100, Per: time.Hour, Burst: 10}, `{"n":100,"per":"1h","burst":10}`},
		{Rate{N: 1, Per: 90 * time.Minute}, `{"n":1,"per":"1h30m"}`},
		{Rate{N: 1, Per: 20 * time.Hour}, `{"n":1,"per":"20h"}`},
		{Rate{N: 1, Per: 10 * time.Minute}, `{"n":1,"per":"10m"}`},
		{Rate{N: 1, Per: 10 * time.Second}, `{"n":1,"per":"10s"}`},
		{Rate{N: 1, Per: time.Hour + 10*time.Second}, `{"n":1,"per":"1h0m10s"}`},
		{Rate{N: 1, Per: 1500 * time.Microsecond}, `{"n":1,"per":"1.5ms"}`},
		{Limits{}, `{}`},
		{Limits{5, 2, 50, 5 * time.Minute, 5 * time.Second, time.Minute, Rate{N: 1, Per: time.Second}, Rate{N: 2, Per: time.Minute, Burst: 3}},
			`{"connections":5,"start":2,"messages":50,"lifetime":"5m","idle":"5s","rest":"1m",` +
				`"message_rate":{"n":1,"per":"1s"},"connection_rate":{"n":2,"per":"1m","burst":3}}`},
		{Order{Rule: "google 4.7.28", Action: Pause, For: 30 * time.Minute}, `{"rule":"google 4.7.28","action":"pause","for":"30m"}`},
		{Order{Rule: "r", Action: Slow, For: time.Hour, Rate: Rate{N: 1, Per: time.Minute}, Connections: 1, Messages: 2},
			`{"rule":"r","action":"slow","for":"1h","rate":{"n":1,"per":"1m"},"connections":1,"messages":2}`},
		{Order{Rule: "r", Action: Permanent}, `{"rule":"r","action":"permanent"}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.value)
		if err != nil || string(got) != tt.want {
			t.Errorf("%+v:\n got %s, %v\nwant %s", tt.value, got, err, tt.want)
		}
		switch want := tt.value.(type) {
		case Rate:
			wantRead(t, tt.want, want)
		case Limits:
			wantRead(t, tt.want, want)
		case Order:
			wantRead(t, tt.want, want)
		}
	}
}

func wantRead[T comparable](t *testing.T, data string, want T) {
	t.Helper()
	var got T
	if err := json.Unmarshal([]byte(data), &got); err != nil || got != want {
		t.Errorf("%s:\n got %+v, %v\nwant %+v", data, got, err, want)
	}
}

// What makes no sense is neither read nor written, and an error leaves what was there.
func TestJSONErrors(t *testing.T) {
	for _, tt := range []struct {
		into       any
		data, want string
	}{
		{&Rate{}, `{"n":1}`, "shaping: Rate.Per is not positive"},
		{&Rate{}, `{"n":-1,"per":"1s"}`, "shaping: Rate.N is not positive"},
		{&Rate{}, `{"n":1,"per":60}`, "shaping: Rate: json: cannot unmarshal number"},
		{&Rate{}, `{"n":1,"per":"1 hour"}`, `shaping: Rate: time: unknown unit " hour"`},
		{&Rate{}, `{"n":1e99,"per":"1s"}`, "shaping: Rate: json: cannot unmarshal number"},
		{&Rate{}, `"1/s"`, "shaping: Rate: json: cannot unmarshal string"},
		{&Limits{}, `{"conections":3}`, `shaping: Limits: json: unknown field "conections"`},
		{&Limits{}, `{"connections":-3}`, "shaping: Limits.Connections is negative"},
		{&Limits{}, `{"message_rate":{"n":3}}`, "shaping: Limits.MessageRate.Per is not positive"},
		{&Limits{}, `{"idle":"` + strings.Repeat("1h", 3000) + `"}`, "shaping: Limits has more than 4096 octets of JSON"},
		{&Order{}, `{}`, "shaping: Order has no name of 1 to 255 octets of UTF-8"},
		{&Order{}, `null`, "shaping: Order has no name of 1 to 255 octets of UTF-8"},
		{&Order{}, `{"rule":"r","action":"ignore"}`, "shaping: Order.Action is unknown"},
		{&Order{}, `{"rule":"r","action":"pause"}`, "shaping: Order.For is zero, so that nothing would happen"},
		{&Order{}, `{"rule":"r","action":"wait","for":"-1h"}`, "shaping: Order.For is negative"},
	} {
		err := json.Unmarshal([]byte(tt.data), tt.into)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%.100s:\n got %v\nwant %s", tt.data, err, tt.want)
		}
	}
	for _, v := range []any{Rate{N: 1}, Limits{Idle: -1}, Order{Action: Pause, For: 1}} {
		if data, err := json.Marshal(v); err == nil {
			t.Errorf("%+v was written as %s", v, data)
		}
	}
	kept := Rate{N: 7, Per: time.Second}
	r := kept
	if err := json.Unmarshal([]byte(`{"n":8}`), &r); err == nil || r != kept {
		t.Errorf("%v left %+v", err, r)
	}
}

// The longest name, of what JSON writes at greatest length, is still read.
func TestJSONLongestName(t *testing.T) {
	o := Order{Rule: strings.Repeat("\x00", maxName), Action: Slow, For: 1<<63 - 1, Rate: Rate{1 << 62, 1<<63 - 1, 1 << 62}, Connections: 1 << 62, Messages: 1 << 62}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	wantRead(t, string(data), o)
}
