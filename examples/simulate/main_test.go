package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is printed is what it was. UPDATE_GOLDEN=1 in the environment takes what is printed now for right.
func TestGolden(t *testing.T) {
	for name, args := range map[string]string{
		"grey":     "",
		"away":     "-to away.example -start 14:00",
		"dead":     "-to dead.example,sly.example -lifetime 3h -delay 1h -retry 1m,10m,1h -recipients 3",
		"rate":     `-to x.example -count 4 -limits {"connections":1,"messages":1,"connection_rate":{"n":1,"per":"1m"}}`,
		"campaign": "-to shop.big.example,home.big.example -count 1500 -start 11:59 -until 30m",
		"outage":   "-to away.example -count 40 -every 15m -seed 7 -script testdata/servers.txt",
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(strings.Fields(args), &out); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("prints\n%s\nwant\n%s", out.String(), want)
			}
		})
	}
}

func TestFlagErrors(t *testing.T) {
	for args, want := range map[string]string{
		"-x":                     "not defined",
		"x":                      `"x" is not a flag`,
		"-retry 1m,soon":         `"soon", which is no wait`,
		"-start noon":            `"noon" is no time of day`,
		"-script nowhere":        "nowhere",
		"-limits {":              "unexpected EOF",
		"-to ,":                  "Config.Mail[0].Domain",
		"-count -1":              "Config.Mail[0].Count",
		"-script main.go":        "main.go:1: ",
		"-concurrency -1":        "Config.Concurrency is negative",
		`-limits {"start":-1}`:   "Start is negative",
		"-recipients 1000000000": "Config.Mail[0].Recipients",
	} {
		var out bytes.Buffer
		if err := run(strings.Fields(args), &out); err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%s: the error is %v, not %q, and %q is printed", args, err, want, out.String())
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "-script file") {
		t.Errorf("%v, %q is printed", err, out.String())
	}
}
