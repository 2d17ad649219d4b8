package delivery_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/postroad/postroad/"

// TestLayers holds who may import whom, so that a program pays only for what it uses and a package can be read alone.
func TestLayers(t *testing.T) {
	deps := listDeps(t)

	t.Run("the four don't know each other", func(t *testing.T) {
		four := []string{"queue", "retry", "mx", "smtpclient"}
		for _, a := range four {
			for _, b := range append(four, "delivery") {
				if a != b && slices.Contains(deps[module+a], module+b) {
					t.Errorf("%s depends on %s", a, b)
				}
			}
		}
	})
	t.Run("standard library only", func(t *testing.T) {
		for _, p := range []string{"queue", "queue/memqueue", "queue/queuetest", "queue/move", "retry", "delivery/reversepath", "delivery/unsubscribe", "examples/custombackend"} {
			for _, d := range deps[module+p] {
				if outside(d) {
					t.Errorf("%s depends on %s", p, d)
				}
			}
		}
	})
	t.Run("heavy libraries have one door each", func(t *testing.T) {
		doors := map[string][]string{
			"go.etcd.io/bbolt":                    {"queue/boltqueue"},
			"github.com/miekg/dns":                {"mx/dnsclient", "mx/mxtest"},
			"github.com/emersion/go-msgauth":      {"delivery/dkim"},
			"github.com/jackc/pgx/v5":             {"queue/pgqueue", "examples"},
			"github.com/prometheus/client_golang": {"delivery/metrics"},
			"github.com/emersion/go-sasl":         {"smtpclient"},
			"github.com/xdg-go/scram":             {"smtpclient"},
			"github.com/emersion/go-smtp":         {"smtpclient", "delivery", "examples"},
			"golang.org/x/net/idna":               {"mx", "delivery/internal/address"},
			"golang.org/x/net/publicsuffix":       {"mx"},
			"github.com/emersion/go-message":      {}, // what composes is for examples
			"github.com/wneessen/go-mail":         {},
		}
		for p, imports := range directImports(t) {
			for _, i := range imports {
				for library, allowed := range doors {
					if (i == library || strings.HasPrefix(i, library+"/")) && !slices.ContainsFunc(allowed, func(door string) bool {
						return p == module+door || strings.HasPrefix(p, module+door+"/")
					}) {
						t.Errorf("%s imports %s; only %v may", p, i, allowed)
					}
				}
			}
		}
	})
	t.Run("delivery brings no database, no DNS library, no DKIM and no metrics", func(t *testing.T) {
		for _, d := range deps[module+"delivery"] {
			for _, heavy := range []string{"go.etcd.io/", "github.com/jackc/", "database/sql", "github.com/prometheus/", "github.com/miekg/dns", "github.com/emersion/go-msgauth"} {
				if strings.HasPrefix(d, heavy) {
					t.Errorf("delivery depends on %s", d)
				}
			}
		}
	})
}

// outside reports whether a package is neither of the standard library nor ours. The standard library's own copies of
// golang.org/x packages are listed as vendor/....
func outside(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(pkg, module)
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func goList(t *testing.T) (list []listed) {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			list = append(list, p)
		}
	}
}

func listDeps(t *testing.T) map[string][]string {
	deps := make(map[string][]string)
	for _, p := range goList(t) {
		deps[p.ImportPath] = p.Deps
	}
	return deps
}

func directImports(t *testing.T) map[string][]string {
	imports := make(map[string][]string)
	for _, p := range goList(t) {
		imports[p.ImportPath] = p.Imports
	}
	return imports
}
