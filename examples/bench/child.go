package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// childVariable makes this program the sink of another one, which ends with its standard input.
const childVariable = "POSTROAD_BENCH_SINK"

// startSink runs a sink in another process, so that what it uses is not counted here. stop ends it.
func startSink() (addr string, pid int, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", 0, nil, err
	}
	cmd := exec.Command(self, "-serve", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", 0, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, nil, err
	}
	stop = func() {
		in.Close()
		cmd.Wait()
	}
	addr, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", 0, nil, fmt.Errorf("starting the sink: %w", err)
	}
	return strings.TrimSpace(addr), cmd.Process.Pid, stop, nil
}

// serveSink is a sink at an address, until ctx, or the program that started it, ends. It prints the address.
func serveSink(ctx context.Context, addr string, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(1) // a second thread to be woken costs more than it takes off the first
	fmt.Fprintln(out, l.Addr())
	if os.Getenv(childVariable) != "" {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	return new(sink).serve(ctx, l)
}
