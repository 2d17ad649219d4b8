package boltqueue

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// The tests run this very program again as another process that uses a queue.
const (
	roleVariable = "BOLTQUEUE_TEST_ROLE"
	pathVariable = "BOLTQUEUE_TEST_PATH"
	firstMessage = "BOLTQUEUE_TEST_FIRST"

	noPause = "GORACE=atexit_sleep_ms=0" // which the race detector makes when a program ends
)

func TestMain(m *testing.M) {
	var err error
	switch path, role := os.Getenv(pathVariable), os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "holder":
		err = hold(path)
	case "sender":
		err = send(path, os.Getenv(firstMessage))
	case "waiter":
		err = await(path)
	case "compacter":
		err = compactOn(path)
	case "deliverer":
		err = deliver(path)
	case "victim":
		err = readDamaged(path, os.Getenv(firstMessage))
	case "opener":
		err = openOnly(path)
	case "depth":
		err = lookInto(path)
	default:
		err = play(role, path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child starts a process in a role and returns it with its input and output.
func child(t *testing.T, role, path string, env ...string) (*exec.Cmd, io.WriteCloser, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, roleVariable+"="+role, pathVariable+"="+path, noPause)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewScanner(out)
}
