package main

import (
	_ "embed"
	"errors"
	"html/template"
	"log"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/delivery"
)

//go:embed pages.html
var source string

var pages = template.Must(template.New("").Parse(source))

var items = []string{"a book", "a kettle"}

func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { show(w, "shop", items) })
	mux.HandleFunc("POST /orders", s.postOrder)
	mux.HandleFunc("GET /orders/{number}", s.getOrder)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *shop) postOrder(w http.ResponseWriter, r *http.Request) {
	item := r.PostFormValue("item")
	if !slices.Contains(items, item) { // else a receipt could say anything to anybody
		http.Error(w, "there is no such item", http.StatusBadRequest)
		return
	}
	number, err := s.buy(r.Context(), item, r.PostFormValue("card"), r.PostFormValue("email"))
	refused := new(delivery.FieldError)
	switch {
	case errors.As(err, &refused): // such as an address that is none
		http.Error(w, refused.Error(), http.StatusBadRequest)
	case errors.Is(err, errDeclined):
		http.Error(w, errDeclined.Error(), http.StatusPaymentRequired)
	case err != nil:
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	default:
		http.Redirect(w, r, "/orders/"+number, http.StatusSeeOther)
	}
}

func (s *shop) getOrder(w http.ResponseWriter, r *http.Request) {
	o, err := s.order(r.Context(), r.PathValue("number"))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	default:
		show(w, "order", o)
	}
}

func show(w http.ResponseWriter, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pages.ExecuteTemplate(w, page, data); err != nil {
		log.Print(err)
	}
}
