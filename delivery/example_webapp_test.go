package delivery_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue/boltqueue"
)

// A web app that sends its mail itself. The code between the marks stands in the README.
func Example_webApp() {
	// README begins
	q, err := boltqueue.Open("mail.db", boltqueue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer q.Close()

	config := delivery.Config{Hostname: "app.example.com"} // direct to each recipient's MX
	if url := os.Getenv("RELAY"); url != "" {              // or through a relay: smtps://user:password@smtp.example.com
		if config.Router, err = mx.ParseRelay(url); err != nil {
			log.Fatal(err)
		}
	}
	sender, err := delivery.New(q, config)
	if err != nil {
		log.Fatal(err)
	}

	http.HandleFunc("POST /signup", func(w http.ResponseWriter, r *http.Request) {
		_, err := sender.Enqueue(r.Context(), delivery.Message{
			From: "hello@example.com",
			To:   delivery.To(r.FormValue("email")),
			Body: strings.NewReader("From: hello@example.com\nSubject: Welcome\n\nGood to have you.\n"),
		})
		if refused := new(delivery.FieldError); errors.As(err, &refused) {
			http.Error(w, err.Error(), http.StatusBadRequest) // such as an address that is none
		} else if err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		} // else it is on disk, and will be delivered or reported to hello@example.com
	})
	go http.ListenAndServe("localhost:8080", nil)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := sender.Run(ctx); err != nil { // delivers until ctx ends, then drains
		log.Fatal(err)
	}
	// README ends
}
