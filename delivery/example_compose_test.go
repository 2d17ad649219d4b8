package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"regexp"
	"strings"

	message "github.com/emersion/go-message/mail"
	gomail "github.com/wneessen/go-mail"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// The standard library is enough for plain text: net/mail writes addresses, mime the Subject, and quotedprintable the text. Postroad
// adds Date and Message-ID.
func Example_composeNetMail() {
	from := mail.Address{Name: "Zoë at the shop", Address: "orders@shop.example"}
	to := mail.Address{Name: "Ann", Address: "ann@example.org"}

	var body bytes.Buffer
	fmt.Fprintf(&body, "From: %s\nTo: %s\n", from.String(), to.String())
	fmt.Fprintf(&body, "Subject: %s\n", mime.QEncoding.Encode("utf-8", "Your crème brûlée"))
	fmt.Fprint(&body, "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n")
	text := quotedprintable.NewWriter(&body)
	fmt.Fprint(text, "Dear Ann,\nit is on its way. À bientôt!\n")
	text.Close()

	q := memqueue.New()
	sender, err := delivery.New(q, delivery.Config{Hostname: "mail.shop.example"})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := sender.Enqueue(context.Background(), delivery.Message{
		From: from.Address, To: delivery.To(to.Address), Body: &body,
	})
	if err != nil {
		log.Fatal(err)
	}
	printStored(q, receipt.ID)
	// Output:
	// from orders@shop.example to ann@example.org
	// Received: by mail.shop.example id ...;
	//	...
	// From: =?utf-8?q?Zo=C3=AB_at_the_shop?= <orders@shop.example>
	// To: "Ann" <ann@example.org>
	// Subject: =?utf-8?q?Your_cr=C3=A8me_br=C3=BBl=C3=A9e?=
	// MIME-Version: 1.0
	// Content-Type: text/plain; charset=utf-8
	// Content-Transfer-Encoding: quoted-printable
	// Date: ...
	// Message-ID: <...@shop.example>
	//
	// Dear Ann,
	// it is on its way. =C3=80 bient=C3=B4t!
}

// A Msg of go-mail knows all its recipients, those of Bcc too, which it doesn't write. It makes a Message-ID of the machine's name and
// two fields about itself, unless it is told otherwise. A Message-ID of the program's own is the same if the message is made again.
func Example_composeGoMail() {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From("orders@shop.example"); err != nil {
		log.Fatal(err)
	}
	if err := msg.To("Ann <ann@example.org>"); err != nil {
		log.Fatal(err)
	}
	if err := msg.Bcc("archive@shop.example"); err != nil {
		log.Fatal(err)
	}
	msg.Subject("Your order")
	msg.SetMessageIDWithValue("order-1042@shop.example")
	msg.SetBodyString(gomail.TypeTextPlain, "Thank you.\n")

	from, err := msg.GetSender(false) // in angle brackets, as are the recipients: those of To, Cc and Bcc
	if err != nil {
		log.Fatal(err)
	}
	recipients, err := msg.GetRecipients()
	if err != nil {
		log.Fatal(err)
	}
	for i := range recipients {
		recipients[i] = strings.Trim(recipients[i], "<>")
	}
	var body bytes.Buffer
	if _, err := msg.WriteTo(&body); err != nil {
		log.Fatal(err)
	}

	q := memqueue.New()
	sender, err := delivery.New(q, delivery.Config{Hostname: "mail.shop.example"})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := sender.Enqueue(context.Background(), delivery.Message{
		From: strings.Trim(from, "<>"), To: delivery.To(recipients...), Body: &body,
	})
	if err != nil {
		log.Fatal(err)
	}
	printStored(q, receipt.ID)
	// Output:
	// from orders@shop.example to ann@example.org
	// from orders@shop.example to archive@shop.example
	// Received: by mail.shop.example id ...;
	//	...
	// Date: ...
	// MIME-Version: 1.0
	// Message-ID: <order-1042@shop.example>
	// Subject: Your order
	// From: <orders@shop.example>
	// To: "Ann" <ann@example.org>
	// Content-Transfer-Encoding: quoted-printable
	// Content-Type: text/plain; charset=UTF-8
	//
	// Thank you.
}

// With go-message a message is written while the queue reads it, so that an attachment of any size is never in memory as a whole. It
// writes every field that it is given: Postroad takes Bcc out, and adds Date and Message-ID.
func Example_composeGoMessage() {
	var header message.Header
	header.SetAddressList("From", []*message.Address{{Name: "The shop", Address: "orders@shop.example"}})
	header.SetAddressList("To", []*message.Address{{Name: "Ann", Address: "ann@example.org"}, {Address: "ben@example.org"}})
	header.SetAddressList("Bcc", []*message.Address{{Address: "archive@shop.example"}})
	header.SetSubject("Your invoice")

	body, pipe := io.Pipe()
	defer body.Close() // ends the writing if Enqueue returns before it has read all
	go func() { pipe.CloseWithError(writeInvoice(pipe, header)) }()

	m := delivery.Message{From: "orders@shop.example", Body: body}
	for _, field := range []string{"To", "Cc", "Bcc"} {
		addresses, err := header.AddressList(field)
		if err != nil {
			log.Fatal(err)
		}
		for _, a := range addresses {
			m.To = append(m.To, delivery.Recipient{Address: a.Address})
		}
	}
	q := memqueue.New()
	sender, err := delivery.New(q, delivery.Config{Hostname: "mail.shop.example"})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := sender.Enqueue(context.Background(), m) // an error of writeInvoice is one of Enqueue
	if err != nil {
		log.Fatal(err)
	}
	printStored(q, receipt.ID)
	// Output:
	// from orders@shop.example to ann@example.org ben@example.org
	// from orders@shop.example to archive@shop.example
	// Received: by mail.shop.example id ...;
	//	...
	// Content-Type: multipart/mixed;
	//  boundary=...
	// Mime-Version: 1.0
	// Subject: Your invoice
	// To: "Ann" <ann@example.org>, <ben@example.org>
	// From: "The shop" <orders@shop.example>
	// Date: ...
	// Message-ID: <...@shop.example>
	//
	// --...
	// Content-Transfer-Encoding: quoted-printable
	// Content-Disposition: inline
	// Content-Type: text/plain; charset=utf-8
	//
	// Here it is.
	//
	// --...
	// Content-Transfer-Encoding: base64
	// Content-Type: application/pdf
	// Content-Disposition: attachment; filename=invoice.pdf
	//
	// JVBERi0xLjcgLi4u
	// --...--
}

// writeInvoice writes a message of a text and a large attachment.
func writeInvoice(w io.Writer, header message.Header) error {
	mw, err := message.CreateWriter(w, header)
	if err != nil {
		return err
	}
	var inline message.InlineHeader
	inline.Set("Content-Type", "text/plain; charset=utf-8")
	text, err := mw.CreateSingleInline(inline)
	if err != nil {
		return err
	}
	fmt.Fprint(text, "Here it is.\n")
	if err := text.Close(); err != nil {
		return err
	}
	var attached message.AttachmentHeader
	attached.SetFilename("invoice.pdf")
	attached.Set("Content-Type", "application/pdf")
	file, err := mw.CreateAttachment(attached)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, strings.NewReader("%PDF-1.7 ...")); err != nil { // in place of a file
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return mw.Close()
}

// printStored prints who a stored message is for, and the message: with its line ends as LF, and dots in place of what is
// different each time.
func printStored(q *memqueue.Queue, id queue.ID) {
	for j := range q.Jobs(context.Background(), queue.Filter{ID: id}) {
		fmt.Print("from ", j.Message.From, " to")
		for _, r := range j.Recipients {
			fmt.Print(" ", r.Address)
		}
		fmt.Println()
	}
	r, err := q.Open(context.Background(), id)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	stored, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	stored = bytes.ReplaceAll(stored, []byte("\r\n"), []byte("\n"))
	made := regexp.MustCompile(`\w{3}, \d\d \w{3} 20\d\d [\d:]{8} [+-]\d{4}|[0-9a-v]{26,60}`)
	os.Stdout.Write(made.ReplaceAll(stored, []byte("...")))
}
