package reversepath_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/postroad/postroad/delivery/reversepath"
)

// A program sends with reverse-paths of this mailbox, and asks it about every address that a report comes to.
func Example() {
	bounces, err := reversepath.New(reversepath.Options{
		Address: "bounces@news.example",
		Keys:    [][]byte{[]byte("16 random octets")}, // from where the program keeps its secrets
	})
	if err != nil {
		log.Fatal(err)
	}
	sent := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	from := bounces.For("bob@example.org", sent)
	fmt.Println(from)

	for _, to := range []string{from, "bounces+ann=example.org__a11ju4rdr771nc78@news.example"} {
		back, err := bounces.Parse(to, sent.Add(3*24*time.Hour))
		switch {
		case errors.Is(err, reversepath.ErrSignature):
			fmt.Println("forged")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println("failed:", back.Name)
		}
	}
	// Output:
	// bounces+bob=example.org__a11qhrel93fv24bh@news.example
	// failed: bob@example.org
	// forged
}

// A name that doesn't fit into a local part is found by its digest.
func ExampleDigest() {
	bounces, err := reversepath.New(reversepath.Options{Address: "bounces@news.example"})
	if err != nil {
		log.Fatal(err)
	}
	const long = "the.last.of.the.mohicans.and.other.tales@customers.department.example.org"
	known := map[string]string{reversepath.Digest(long): long} // a column in the program's database

	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	from := bounces.For(long, now)
	fmt.Println(from)
	back, err := bounces.Parse(from, now)
	fmt.Println(known[back.Digest], err)
	// Output:
	// bounces+__a9kjj8hesd8ufh8jg95l15nm@news.example
	// the.last.of.the.mohicans.and.other.tales@customers.department.example.org <nil>
}
