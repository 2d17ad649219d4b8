package main

import (
	"os"
	"slices"
	"testing"
)

// needPostgres skips a test where PostgreSQL can't be started.
func needPostgres(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts PostgreSQL")
	}
	if _, _, err := postgresPrograms(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// TestPostgres runs the modes that a queue in PostgreSQL is measured with.
func TestPostgres(t *testing.T) {
	needPostgres(t)
	url, stop, err := ownDatabase("")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	small := []string{"-queue", url, "-messages", "60", "-domains", "3", "-concurrency", "5", "-size", "2000", "-rounds", "1"}
	for _, tt := range []struct {
		mode string
		args []string
		keys []string // that must be above 0
	}{
		{"steady", nil, steadyKeys[:6]},
		{"accept", nil, []string{"accept_only_per_s", "delivered_per_s", "one_domain_per_s"}},
		{"drain", []string{"-depth", "100"}, []string{"steady_per_s", "drain_per_s"}},
		{"depth", []string{"-depth", "1500"}, []string{"rate_spread"}},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			result := runBench(t, slices.Concat(small, []string{"-mode", tt.mode}, tt.args)...)
			checkPositive(t, result, tt.keys)
			everyMap(result, func(m map[string]any) { checkEvery(t, m) })
		})
	}
}

// TestRiver starts a database by itself.
func TestRiver(t *testing.T) {
	needPostgres(t)
	result := runBench(t, "-dir", "", "-mode", "river", "-messages", "60", "-domains", "3", "-concurrency", "5", "-size", "2000", "-rounds", "1")
	checkPositive(t, result, []string{"rate_ratio"})
	for _, name := range []string{"sender", "river"} {
		f := result[name].(map[string]any)
		checkPositive(t, f, steadyKeys[:6])
		checkEvery(t, f)
		if f["syncs_per_msg"] != nil {
			t.Errorf("%s: syncs_per_msg is %v", name, f["syncs_per_msg"])
		}
	}
}

func checkPositive(t *testing.T, result map[string]any, keys []string) {
	t.Helper()
	for _, key := range keys {
		if v, ok := result[key].(float64); !ok || v <= 0 {
			t.Errorf("%s is %v", key, result[key])
		}
	}
}

// checkEvery checks that every message has arrived once.
func checkEvery(t *testing.T, m map[string]any) {
	t.Helper()
	if m["lost"] != nil && m["lost"] != 0. || m["duplicates"] != nil && m["duplicates"] != 0. {
		t.Errorf("lost %v, duplicates %v", m["lost"], m["duplicates"])
	}
}
