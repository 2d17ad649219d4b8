package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/smtpclient/smtptest"
)

// TestMain lets the test binary be the sink of a test.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// runBench runs the program and returns what it prints.
func runBench(t *testing.T, args ...string) map[string]any {
	t.Helper()
	o, err := parseOptions(append([]string{"-dir", t.TempDir()}, args...), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	var out, warn bytes.Buffer
	if err := run(t.Context(), o, &out, &warn); err != nil {
		t.Fatal(err)
	}
	if warn.Len() > 0 {
		t.Errorf("warnings: %s", &warn)
	}
	var result map[string]any
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	return result
}

var steadyKeys = []string{
	"enqueue_per_s", "delivered_per_s", "enqueue_p50_ms", "enqueue_p99_ms", "e2e_p50_ms", "e2e_p99_ms", "cpu_us_per_msg", "peak_rss_mb",
	"syncs_per_msg", "written_bytes_per_msg", "allocs_per_msg", "lost", "duplicates",
}

func TestSteady(t *testing.T) {
	for _, queue := range []string{"bolt", "mem"} {
		t.Run(queue, func(t *testing.T) {
			result := runBench(t, "-queue", queue, "-messages", "300", "-domains", "7", "-concurrency", "20", "-size", "3000")
			if got, want := slices.Sorted(maps.Keys(result)), slices.Sorted(slices.Values(steadyKeys)); !slices.Equal(got, want) {
				t.Errorf("keys %q\nwant %q", got, want)
			}
			if result["lost"] != 0. || result["duplicates"] != 0. {
				t.Errorf("lost %v, duplicates %v", result["lost"], result["duplicates"])
			}
			known := steadyKeys[:6]
			if runtime.GOOS == "linux" {
				known = steadyKeys[:8]
			}
			for _, key := range known {
				if v, ok := result[key].(float64); !ok || v <= 0 {
					t.Errorf("%s is %v", key, result[key])
				}
			}
			if v := result["syncs_per_msg"].(float64); (queue == "bolt") != (v > 0) {
				t.Errorf("syncs_per_msg is %v", v)
			}
		})
	}
}

// TestSyncs has one caller, for whom each message is a transaction of two syncs.
func TestSyncs(t *testing.T) {
	o, err := parseOptions([]string{"-dir", t.TempDir(), "-messages", "20", "-concurrency", "1"}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBench(o, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	l := b.load()
	f, err := b.trial(t.Context(), l, b.routes(l), acceptOnly)
	if err != nil || f.Syncs != 2 {
		t.Errorf("%v syncs for each message (%v)", f.Syncs, err)
	}
}

// TestModes runs each mode with little to do.
func TestModes(t *testing.T) {
	small := []string{"-messages", "60", "-domains", "3", "-concurrency", "5", "-size", "2000", "-rounds", "1"}
	for _, tt := range []struct {
		mode string
		args []string
		keys []string // that must be above 0
	}{
		{"accept", nil, []string{"accept_only_per_s", "delivered_per_s", "one_domain_per_s", "delivered_of_accept_only", "one_domain_of_delivered"}},
		{"drain", []string{"-depth", "100"}, []string{"steady_per_s", "drain_per_s", "drain_of_steady"}},
		{"latency", nil, []string{"e2e_p50_ms", "commit_p50_ms"}},
		{"dead", []string{"-depth", "250"}, []string{"without_per_s", "with_per_s", "with_of_without", "dead_attempts"}},
		{"depth", []string{"-depth", "1500"}, []string{"rate_spread"}},
		{"sink", nil, []string{"delivered_per_s"}},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			result := runBench(t, slices.Concat(small, []string{"-mode", tt.mode}, tt.args)...)
			for _, key := range tt.keys {
				if v, ok := result[key].(float64); !ok || v <= 0 {
					t.Errorf("%s is %v", key, result[key])
				}
			}
			everyMap(result, func(m map[string]any) {
				if m["lost"] != nil && m["lost"] != 0. || m["duplicates"] != nil && m["duplicates"] != 0. {
					t.Errorf("lost %v, duplicates %v", m["lost"], m["duplicates"])
				}
			})
		})
	}
}

// everyMap calls f with all objects in what was JSON.
func everyMap(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, e := range v {
			everyMap(e, f)
		}
	case []any:
		for _, e := range v {
			everyMap(e, f)
		}
	}
}

// TestForeignSink has a server that doesn't count.
func TestForeignSink(t *testing.T) {
	srv := smtptest.NewServer(nil)
	defer srv.Close()
	result := runBench(t, "-sink", srv.Addr, "-messages", "50", "-domains", "3", "-concurrency", "5", "-size", "2000")
	if result["lost"] != 0. || result["duplicates"] != 0. || len(srv.Messages()) != 50 {
		t.Errorf("%v; %d messages", result, len(srv.Messages()))
	}
}

// TestRelay compares the relay with Postfix.
func TestRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and starts servers")
	}
	if _, err := exec.LookPath("postfix"); err != nil || os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no Postfix that we could start")
		}
		t.Skip("there is no Postfix that we could start")
	}
	result := runBench(t, "-dir", "", "-mode", "relay", "-messages", "50", "-concurrency", "5", "-size", "2000", "-rounds", "1")
	for _, key := range []string{"rate_ratio", "cpu_ratio", "memory_ratio"} {
		if v, ok := result[key].(float64); !ok || v <= 0 {
			t.Errorf("%s is %v", key, result[key])
		}
	}
	for _, name := range []string{"relay", "postfix"} {
		f := result[name].(map[string]any)
		for _, key := range slices.Concat(steadyKeys[:6], []string{"peak_rss_mb", "peak_anon_mb"}) {
			if v, ok := f[key].(float64); !ok || v <= 0 {
				t.Errorf("%s: %s is %v", name, key, f[key])
			}
		}
		if f["lost"] != 0. || f["duplicates"] != 0. || f["allocs_per_msg"] != nil {
			t.Errorf("%s: %v", name, f)
		}
	}
}

func TestFigure(t *testing.T) {
	for value, want := range map[float64]string{
		math.NaN(): "null", math.Inf(1): "null", 0: "0", 0.0123456: "0.01235", 12.3456: "12.35", 12345.6: "12346", 1e7: "10000000",
	} {
		if b, err := json.Marshal(figure(value)); err != nil || string(b) != want {
			t.Errorf("%v: %s, %v; want %s", value, b, err, want)
		}
	}
}

func TestOptionsRefuse(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-queue file", `-queue "file" is neither bolt nor mem nor postgres://`},
		{"-mode fast", `-mode "fast" is none of`},
		{"-messages 0", "-messages 0 is not from 1 to"},
		{"-size 10", "-size 10 is not from"},
		{"-mode drain -target localhost:25", "-target gets its messages at a steady rate"},
		{"-mode river -queue bolt", "-mode river needs a -queue in PostgreSQL"},
		{"mail", `"mail" is not a flag`},
	} {
		_, err := parseOptions(strings.Fields(tt.args), os.Stderr)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.args, err, tt.want)
		}
	}
}
