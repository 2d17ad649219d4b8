package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue/pgqueue/pgtest"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// buyerVariable makes the test's program one that buys, in that database, and is killed right after the commit.
const buyerVariable = "WEBAPP_BUYER"

func TestMain(m *testing.M) {
	url := os.Getenv(buyerVariable)
	if url == "" {
		os.Exit(m.Run())
	}
	s, err := openShop(context.Background(), url, "smtp://127.0.0.1:1")
	if err == nil {
		_, err = s.buy(context.Background(), "a book", "4242", "eve@example.net")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	self, err := os.FindProcess(os.Getpid())
	fmt.Println(cmp.Or(err, self.Kill()))
	select {}
}

// TestShop has a server of its own, where each test has a database: the shop's schemas have fixed names.
func TestShop(t *testing.T) {
	server := pgtest.Start(t, "fsync=off")
	for name, test := range map[string]func(*testing.T, string){
		"buy":                 testBuy,
		"pages":               testPages,
		"killed_after_commit": testKilledAfterCommit,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := pgtest.Pool(t, server.URL()).Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
				t.Fatal(err)
			}
			test(t, strings.Replace(server.URL(), "/postgres?", "/"+name+"?", 1))
		})
	}
}

// count counts rows of the shop's and the queue's.
func count(t *testing.T, s *shop) (orders, receipts int) {
	t.Helper()
	row := s.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM shop.orders), (SELECT count(*) FROM postroad.messages)")
	if err := row.Scan(&orders, &receipts); err != nil {
		t.Fatal(err)
	}
	return orders, receipts
}

// An order and its receipt are there together, or not at all.
func testBuy(t *testing.T, url string) {
	s, err := openShop(t.Context(), url, "smtp://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, test := range []struct {
		card, email string
		err         string
		sold        int // so far
	}{
		{"4242", "ann@example.net", "", 1},
		{"4240", "ann@example.net", errDeclined.Error(), 1},
		{"4242", "ann at home", "To", 1},
		{"4242", "ann@example.net\r\nBcc: all@example.net", "To", 1},
		{"4242", "ben@example.net", "", 2},
	} {
		_, err := s.buy(t.Context(), "a book", test.card, test.email)
		if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q buys with %q: %v", test.email, test.card, err)
		}
		if orders, receipts := count(t, s); orders != test.sold || receipts != test.sold {
			t.Errorf("%d orders and %d receipts, want %d", orders, receipts, test.sold)
		}
	}
}

// browser talks to a shop that runs.
type browser struct {
	t   *testing.T
	url string
}

func (b browser) get(path string) string {
	b.t.Helper()
	r, err := http.Get(b.url + path)
	return b.read(r, err)
}

// buy returns the page that it is led to.
func (b browser) buy(email, card string) (path, page string) {
	b.t.Helper()
	r, err := http.PostForm(b.url+"/orders", url.Values{"item": {"a kettle"}, "email": {email}, "card": {card}})
	page = b.read(r, err)
	return r.Request.URL.Path, page
}

func (b browser) read(r *http.Response, err error) string {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Status + "\n" + string(page)
}

// open starts a shop, and ends it in order.
func open(t *testing.T, url string) (browser, *smtptest.Server) {
	t.Helper()
	server := smtptest.NewServer(nil)
	t.Cleanup(server.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- run(ctx, url, "smtp://"+server.Addr, l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return browser{t, "http://" + l.Addr().String()}, server
}

// A page tells what becomes of the receipt.
func testPages(t *testing.T, url string) {
	b, server := open(t, url)
	if page := b.get("/"); !strings.Contains(page, "a kettle") {
		t.Error(page)
	}
	for path, want := range map[string]string{"/orders/none": "404", "/none": "404"} {
		if page := b.get(path); !strings.HasPrefix(page, want) {
			t.Errorf("%s: %s", path, page)
		}
	}
	if _, page := b.buy("ann@example.net", "4240"); !strings.HasPrefix(page, "402") {
		t.Error(page)
	}
	if _, page := b.buy("nobody", "4242"); !strings.HasPrefix(page, "400") {
		t.Error(page)
	}
	path, page := b.buy("ann@example.net", "4242")
	for ; !strings.Contains(page, "ann@example.net: delivered to 127.0.0.1: 250") || strings.Contains(page, "refresh"); page = b.get(path) {
		if !strings.HasPrefix(page, "200") || t.Context().Err() != nil {
			t.Fatal(page)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := len(server.Messages()); n != 1 {
		t.Errorf("%d messages came", n)
	}
}

// A receipt whose order was committed is delivered, though its process ends at that moment.
func testKilledAfterCommit(t *testing.T, url string) {
	buyer := exec.Command(os.Args[0])
	buyer.Env = append(os.Environ(), buyerVariable+"="+url)
	out, err := buyer.CombinedOutput()
	if buyer.ProcessState == nil || buyer.ProcessState.ExitCode() != -1 {
		t.Fatalf("the buyer was not killed: %v, %s", err, out)
	}
	_, server := open(t, url)
	messages, err := server.Wait(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m := messages[0]; len(messages) != 1 || m.To[0].Address != "eve@example.net" || !strings.Contains(string(m.Data), "Thank you for buying a book") {
		t.Errorf("%d messages, the first is\n%s", len(messages), m.Data)
	}
}
