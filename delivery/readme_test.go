package delivery_test

import (
	"os"
	"strings"
	"testing"
)

// TestReadme holds the README's program to the one that is compiled here.
func TestReadme(t *testing.T) {
	source, err := os.ReadFile("example_webapp_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "\t// README begins\n")
	code, _, found := strings.Cut(code, "\t// README ends\n")
	if !found {
		t.Fatal("the marks are gone")
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(code) {
		if line := strings.TrimPrefix(line, "\t"); !strings.Contains(string(readme), line) {
			t.Errorf("the README lacks the line %q", line)
		}
	}
}
