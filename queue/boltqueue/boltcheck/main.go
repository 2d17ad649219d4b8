// Command boltcheck looks for damage in the file of a mail queue, and makes a new queue of what can be read in a damaged one.
//
//	boltcheck mail.db
//	boltcheck -salvage new.db mail.db
//
// No process may have the file open. It is not changed. What is wrong with it is printed, a line for each thing.
//
// The exit status is 0 if nothing is wrong, 1 if something is, and 2 if the file could not be checked, or the new one not
// made.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"

	"github.com/postroad/postroad/queue/boltqueue"
)

func main() {
	salvage := flag.String("salvage", "", "make a new queue at this `path`, where there is no file yet")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: boltcheck [-salvage new.db] mail.db")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	problems, err := run(flag.Arg(0), *salvage, out)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case problems > 0:
		os.Exit(1)
	}
}

// run checks or salvages, and returns how many problems there were.
func run(path, salvage string, out *bufio.Writer) (problems int, err error) {
	report := func(problem string) {
		problems++
		fmt.Fprintln(out, problem)
	}
	if salvage == "" {
		err = boltqueue.Check(path, report)
		return problems, err
	}
	found, err := boltqueue.Salvage(path, salvage, report)
	if err == nil {
		fmt.Fprintf(out, "%s: %d messages, %d jobs, %d notes; %d jobs are held, %d bodies are not whole, %d messages and jobs are lost\n",
			salvage, found.Messages, found.Jobs, found.Notes, found.Held, found.Cut, found.Lost)
	}
	return problems, err
}
