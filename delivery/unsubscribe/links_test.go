package unsubscribe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery/unsubscribe"
)

func key(c string) []byte { return []byte(strings.Repeat(c, 16)) }

func newLinks(t testing.TB, keys ...[]byte) *unsubscribe.Links {
	t.Helper()
	l, err := unsubscribe.NewLinks("https://news.example/unsubscribe", keys...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLinks(t *testing.T) {
	before, during, after := newLinks(t, key("o")), newLinks(t, key("n"), key("o")), newLinks(t, key("n"))
	const name = "Jürgen <&\r\n@example.org"
	old := before.URL(name)
	if _, err := unsubscribe.NewFields(old, ""); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name   string
		links  *unsubscribe.Links
		target string
		want   error
	}{
		{"as it was made", before, old, nil},
		{"with a newer key", during, old, nil},
		{"without its key", after, old, unsubscribe.ErrToken},
		{"of the newer key", after, during.URL(name), nil},
		{"cut", before, old[:len(old)-1], unsubscribe.ErrToken},
		{"changed", before, old[:len(old)-4] + "AAAA", unsubscribe.ErrToken},
		{"empty", before, "https://news.example/unsubscribe?token=", unsubscribe.ErrToken},
		{"missing", before, "https://news.example/unsubscribe", unsubscribe.ErrToken},
		{"no base64", before, "https://news.example/unsubscribe?token=!!!!", unsubscribe.ErrToken},
		{"endless", before, "https://news.example/unsubscribe?token=" + strings.Repeat("A", 2000), unsubscribe.ErrToken},
	} {
		got, err := c.links.Name(httptest.NewRequest("GET", c.target, nil))
		if !errors.Is(err, c.want) || (got == name) != (err == nil) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	query, err := unsubscribe.NewLinks("https://news.example/u?list=7", key("k"))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", query.URL(name), nil)
	if got, err := query.Name(r); got != name || err != nil || r.URL.Query().Get("list") != "7" {
		t.Errorf("beside another parameter: %q, %v", got, err)
	}
}

func TestNewLinksRefuses(t *testing.T) {
	for _, c := range []struct {
		name, url string
		keys      [][]byte
	}{
		{"no key", "https://news.example/u", nil},
		{"a short key", "https://news.example/u", [][]byte{[]byte("secret")}},
		{"not https", "http://news.example/u", [][]byte{key("k")}},
	} {
		if _, err := unsubscribe.NewLinks(c.url, c.keys...); err == nil {
			t.Error(c.name)
		}
	}
}

func TestHandler(t *testing.T) {
	links := newLinks(t, key("k"))
	good := links.URL("bob@example.org")
	const urlencoded = "application/x-www-form-urlencoded"
	multi, boundary := multipartClick(t)
	for _, c := range []struct {
		name, method, target, kind, body string
		status                           int
		left                             string
	}{
		{"a click", "POST", good, urlencoded, "List-Unsubscribe=One-Click", 200, "bob@example.org"},
		{"a click as multipart", "POST", good, boundary, multi, 200, "bob@example.org"},
		{"a click that fails", "POST", links.URL("eve@example.org"), urlencoded, "List-Unsubscribe=One-Click", 500, "eve@example.org"},
		{"a link that is followed", "GET", good, "", "", 200, ""},
		{"a link that is looked at", "HEAD", good, "", "", 200, ""},
		{"the word in the URL", "POST", good + "&List-Unsubscribe=One-Click", urlencoded, "", 400, ""},
		{"the word in the URL of a GET", "GET", good + "&List-Unsubscribe=One-Click", "", "", 200, ""},
		{"another word", "POST", good, urlencoded, "List-Unsubscribe=Two-Click", 400, ""},
		{"no form", "POST", good, "text/plain", "List-Unsubscribe=One-Click", 400, ""},
		{"an endless form", "POST", good, urlencoded, strings.Repeat("a=b&", 1<<20) + "List-Unsubscribe=One-Click", 400, ""},
		{"another method", "PUT", good, urlencoded, "List-Unsubscribe=One-Click", 405, ""},
		{"a forged link", "POST", good[:len(good)-4] + "AAAA", urlencoded, "List-Unsubscribe=One-Click", 404, ""},
		{"a forged link that is followed", "GET", good[:len(good)-4] + "AAAA", "", "", 404, ""},
	} {
		left := ""
		h := links.Handler(func(_ context.Context, name string) error {
			left = name
			if name == "eve@example.org" {
				return errors.New("database is away")
			}
			return nil
		})
		r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || left != c.left {
			t.Errorf("%s: status %d, left %q", c.name, w.Code, left)
		}
	}
}

// multipartClick is the click in the encoding that RFC 8058 prefers.
func multipartClick(t *testing.T) (body, kind string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.WriteField("List-Unsubscribe", "One-Click"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.String(), w.FormDataContentType()
}

// The page's button does what the provider's does.
func TestButton(t *testing.T) {
	links := newLinks(t, key("k"))
	left := make(chan string, 1)
	server := httptest.NewServer(links.Handler(func(_ context.Context, name string) error {
		left <- name
		return nil
	}))
	defer server.Close()
	u, err := url.Parse(links.URL("bob@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(server.URL + u.RequestURI())
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(page), `<form method="post"><button name="List-Unsubscribe" value="One-Click">`) {
		t.Fatalf("the page is %q, %v", page, err)
	}
	resp, err = http.PostForm(server.URL+u.RequestURI(), url.Values{"List-Unsubscribe": {"One-Click"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if name := <-left; name != "bob@example.org" {
		t.Errorf("%q has left", name)
	}
}

func FuzzName(f *testing.F) {
	links := newLinks(f, key("k"))
	f.Add(strings.TrimPrefix(links.URL("bob@example.org"), "https://news.example/unsubscribe?"))
	f.Add("token=")
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: "GET", URL: &url.URL{RawQuery: query}}
		if name, err := links.Name(r); err == nil && name != "bob@example.org" {
			t.Errorf("%q is read as %q", query, name)
		}
	})
}
