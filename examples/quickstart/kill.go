package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
)

// childFile is the environment variable that makes this program the child which is killed. It has the queue file's path.
const childFile = "QUICKSTART_CHILD"

// killed has a child process that enqueues a message, and doesn't live to send it.
func killed(ctx context.Context, w *world) error {
	server, err := w.host("vault.example", 10, "mx.vault.example", nil)
	if err != nil {
		return err
	}
	file := filepath.Join(w.dir, "killed.db")
	id, err := w.enqueueAndDie(ctx, file)
	if err != nil {
		return err
	}
	w.tell(cyan, "restart", "this process opens the queue file of the dead one")
	o, err := w.open(file)
	if err != nil {
		return err
	}
	attempts, err := w.wait(ctx, id, 1)
	if err := errors.Join(err, o.close()); err != nil {
		return err
	}
	got, err := only(server)
	if err != nil {
		return err
	}
	return errors.Join(
		equal("attempts", outcomes(attempts), "delivered"),
		octets("message", untraced(got.Data), crlf(lastLetter())),
	)
}

// enqueueAndDie lets a child process enqueue a message into file, kills it the moment it says so, and returns its ID.
func (w *world) enqueueAndDie(ctx context.Context, file string) (queue.ID, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childFile+"="+file)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // it ends with this process, and the child with it
		return "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	err = errors.Join(err, cmd.Process.Kill())
	cmd.Wait()
	if err != nil {
		return "", fmt.Errorf("the child process: %w", err)
	}
	w.tell(cyan, "queued", "by child process %d: Enqueue returned nil for %d octets", cmd.Process.Pid, len(crlf(lastLetter())))
	w.tell(red, "kill -9", "child process %d: %v", cmd.Process.Pid, cmd.ProcessState)
	return queue.ID(strings.TrimSpace(line)), equal("the child ended by itself", cmd.ProcessState.Success(), false)
}

// child is the child process: it enqueues a message, prints its ID, and waits to be killed.
func child(file string) int {
	id, err := enqueueLastLetter(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	fmt.Println(id)
	io.Copy(io.Discard, os.Stdin)
	return 0
}

// enqueueLastLetter doesn't close the queue, and runs nothing.
func enqueueLastLetter(file string) (queue.ID, error) {
	q, err := boltqueue.Open(file, boltqueue.Options{})
	if err != nil {
		return "", err
	}
	s, err := delivery.New(q, delivery.Config{})
	if err != nil {
		return "", err
	}
	receipt, err := s.Enqueue(context.Background(), message(lastLetter(), "keeper@vault.example"))
	return receipt.ID, err
}

// lastLetter has a Date and a Message-ID, so that there is nothing to add, and a body of 1 MB.
func lastLetter() string {
	return "Date: Thu, 01 Jan 2026 09:00:00 +0000\nMessage-ID: <last-letter@shop.example>\nFrom: ada@shop.example\n" +
		"To: keeper@vault.example\nSubject: Ledger\n\n" + strings.Repeat("One more line of what must not be lost.\n", 25_000)
}
