package unsubscribe

import (
	"context"
	"fmt"
	"net/http"
)

// maxForm is how many octets of a POST are read.
const maxForm = 16 << 10

// OneClick reports whether r is the click: a POST whose form, of either encoding, has List-Unsubscribe=One-Click (RFC 8058, section
// 3). Nothing else may unsubscribe anybody: programs that look for viruses follow every link with GET. It reads the body of r, 16 KiB
// of it at most.
func OneClick(r *http.Request) bool {
	if r.Method != http.MethodPost || r.Body == nil {
		return false
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	return r.PostFormValue(oneName) == oneWord
}

// Handler answers at the address of the links. For a click it calls leave, with the name in the link; an error of leave becomes a 500, and
// the provider or the recipient may try again, so leaving twice must be no error. For a GET it shows a page with a button that does
// the same: that is where a recipient gets to who follows the link by hand.
//
// Providers have no cookies, logins or form tokens, and follow no redirects, so the handler must not be put behind what asks for
// any. A program with pages of its own calls [Links.Name] and [OneClick] itself.
func (l *Links) Handler(leave func(ctx context.Context, name string) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer") // the link is a secret
		name, err := l.Name(r)
		switch {
		case err != nil:
			page(w, http.StatusNotFound, "This link is not valid.")
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			page(w, http.StatusOK, button)
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", "GET, HEAD, POST")
			page(w, http.StatusMethodNotAllowed, "Use the button.")
		case !OneClick(r):
			page(w, http.StatusBadRequest, "Use the button.")
		case leave(r.Context(), name) != nil:
			page(w, http.StatusInternalServerError, "That has not worked. Please try again later.")
		default:
			page(w, http.StatusOK, "You will get no more of these messages.")
		}
	})
}

const button = `<form method="post"><button name="` + oneName + `" value="` + oneWord + `">Unsubscribe</button></form>`

// page writes a page of our own words.
func page(w http.ResponseWriter, status int, content string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!DOCTYPE html><html lang=en><meta name=viewport content=\"width=device-width\"><title>Unsubscribe</title><p>%s\n", content)
}
