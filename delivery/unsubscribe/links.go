package unsubscribe

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/postroad/postroad/delivery/internal/keyring"
)

// ErrToken means that a link wasn't made by these [Links]: it is forged, or cut, or the key is no longer there.
var ErrToken = errors.New("unsubscribe: not one of our links")

const (
	parameter = "token"
	macOctets = 16
	maxToken  = 1024 // characters that are looked at
)

// Links makes links that name a recipient. It may be used by several goroutines at once.
type Links struct {
	url  string
	keys keyring.Ring
}

// NewLinks returns Links to where the program answers, such as "https://news.example/unsubscribe". Each key has at least 16 random
// octets; the first one signs and all of them count. A link doesn't expire, and mail is read late, so a key that signs no
// more is kept for as long as its mail may be: some laws say 30 days, recipients expect years.
func NewLinks(url string, keys ...[]byte) (*Links, error) {
	if err := checkLink(url); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("unsubscribe: without a key, anybody could unsubscribe others")
	}
	if err := keyring.Ring(keys).Check(); err != nil {
		return nil, fmt.Errorf("unsubscribe: %w", err)
	}
	return &Links{url: url, keys: keys}, nil
}

// URL returns the link of name: a recipient's address, or whatever else the program knows a subscription by, such as the list's name, a
// slash and the recipient's number. It can stand in the text of the message as well. Whoever has the link can read the name.
func (l *Links) URL(name string) string {
	token := base64.RawURLEncoding.EncodeToString(append(l.keys.Sign(macOctets, "unsubscribe", name), name...))
	separator := "?"
	if strings.Contains(l.url, "?") {
		separator = "&"
	}
	return l.url + separator + parameter + "=" + token
}

// Name returns the name in the link that r was made by, whatever its method, or an error that wraps [ErrToken].
func (l *Links) Name(r *http.Request) (string, error) {
	token := r.URL.Query().Get(parameter)
	if len(token) > maxToken {
		return "", fmt.Errorf("%w: a token of %d characters", ErrToken, len(token))
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < macOctets || !l.keys.Verify(b[:macOctets], "unsubscribe", string(b[macOctets:])) {
		return "", fmt.Errorf("%w: %.100q", ErrToken, token)
	}
	return string(b[macOctets:]), nil
}
