package unsubscribe_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/postroad/postroad/delivery/unsubscribe"
)

// One half is in the message, the other in the program's web server.
func Example() {
	links, err := unsubscribe.NewLinks("https://news.example/unsubscribe", []byte("16 random octets"))
	if err != nil {
		log.Fatal(err)
	}
	fields, err := unsubscribe.NewFields(links.URL("bob@example.org"), "mailto:leave@news.example")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fields.ListUnsubscribe)
	fmt.Println(fields.ListUnsubscribePost)

	http.Handle("/unsubscribe", links.Handler(func(ctx context.Context, name string) error {
		fmt.Println(name, "has left") // in the program's database
		return nil
	}))

	// What a provider does when Bob presses its button:
	server := httptest.NewServer(http.DefaultServeMux)
	defer server.Close()
	clicked, _ := url.Parse(links.URL("bob@example.org"))
	r, err := http.PostForm(server.URL+clicked.RequestURI(), url.Values{"List-Unsubscribe": {"One-Click"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Status)
	// Output:
	// <https://news.example/unsubscribe?token=ddwWVD13Lb8KAXjyUl-Sf2JvYkBleGFtcGxlLm9yZw>, <mailto:leave@news.example>
	// List-Unsubscribe=One-Click
	// bob@example.org has left
	// 200 OK
}

// As text, the fields go before the others. A composer takes the two values.
func ExampleFields_String() {
	fields, err := unsubscribe.NewFields("https://news.example/unsubscribe?token=abc", "mailto:leave@news.example")
	if err != nil {
		log.Fatal(err)
	}
	message := fields.String() + "From: news@news.example\r\nSubject: News\r\n\r\nNone today.\r\n"
	fmt.Println(strings.ReplaceAll(message, "\r\n", "\n"))
	// Output:
	// List-Unsubscribe: <https://news.example/unsubscribe?token=abc>,
	//  <mailto:leave@news.example>
	// List-Unsubscribe-Post: List-Unsubscribe=One-Click
	// From: news@news.example
	// Subject: News
	//
	// None today.
}
