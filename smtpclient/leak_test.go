package smtpclient_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain checks that nothing of the package runs any more after all its tests. In a benchmark's child it is the server.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := serveChild(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if left := stillRunning(); left != "" {
		fmt.Printf("leaked goroutines:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// nothingRuns checks that the client has left no goroutine.
func nothingRuns(t *testing.T) {
	t.Helper()
	if left := stillRunning(); left != "" {
		t.Errorf("leaked goroutines:\n%s", left)
	}
}

// stillRunning returns the stacks of goroutines that run the package's code, or were started by it, and don't end.
func stillRunning() (stacks string) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		stacks = ""
		buf := make([]byte, 1<<20)
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "postroad/smtpclient.") {
				stacks += stack + "\n\n"
			}
		}
		if stacks == "" {
			break
		}
	}
	return stacks
}
