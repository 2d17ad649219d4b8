// Package notes reads what is kept in the queue's notes.
package notes

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Parse reads what is known whole, and nothing else: of a note that a later version has written, half would be another one.
func Parse(note []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(note))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is something after it")
	}
	return nil
}
