package delivery_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReadme holds the README's programs to those that are compiled here: each is one of them, and each of them is there.
func TestReadme(t *testing.T) {
	var compiled, shown []string
	for _, file := range []string{"example_webapp_test.go", "example_campaign_test.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, code, _ := strings.Cut(string(source), "\t// README begins\n")
		code, _, found := strings.Cut(code, "\t// README ends\n")
		if !found {
			t.Fatalf("the marks in %s are gone", file)
		}
		compiled = append(compiled, strings.ReplaceAll(strings.TrimPrefix(code, "\t"), "\n\t", "\n"))
	}
	for _, block := range strings.Split(readme(t), "\n```go\n")[1:] {
		code, _, _ := strings.Cut(block, "```\n")
		shown = append(shown, code)
	}
	if !slices.Equal(shown, compiled) {
		t.Errorf("the README shows\n%s\nand compiled is\n%s", strings.Join(shown, "\n----\n"), strings.Join(compiled, "\n----\n"))
	}
}

// TestReadmePackages holds the README's tables to the packages that there are.
func TestReadmePackages(t *testing.T) {
	var named, public []string
	for _, row := range regexp.MustCompile("(?m)^\\| \\[`(.+?)`\\]\\((.+?)\\) \\|").FindAllStringSubmatch(readme(t), -1) {
		if row[1] != row[2] {
			t.Errorf("%s leads to %s", row[1], row[2])
		}
		named = append(named, row[1])
	}
	for _, p := range goList(t) {
		if name := strings.TrimPrefix(p.ImportPath, module); !slices.Contains(strings.Split(name, "/"), "internal") {
			public = append(public, name)
		}
	}
	slices.Sort(named)
	slices.Sort(public)
	if !slices.Equal(named, public) {
		t.Errorf("the README names\n%q\nand there are\n%q", named, public)
	}
}
