package smtpclient_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadme checks that testdata/README.md lists every transcript, in the row that its name says, and no test that there isn't.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	missing := make(map[string]bool)
	files, _ := filepath.Glob("testdata/*.txt")
	for _, f := range files {
		missing[strings.TrimSuffix(filepath.Base(f), ".txt")] = true
	}
	tests := testNames(t)
	row := regexp.MustCompile(`^\| (\d\d) \|.*\|.*\|(.*)\|(.*)\|$`)
	for line := range strings.Lines(string(text)) {
		for _, name := range regexp.MustCompile(`(\w+\.)?(Test|Fuzz)[A-Z]\w+`).FindAllString(line, -1) {
			if !tests[name] {
				t.Errorf("there is no test %s", name)
			}
		}
		cells := row.FindStringSubmatch(strings.TrimSpace(line))
		if cells == nil {
			continue
		}
		listed := regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(cells[2], -1)
		for _, name := range listed {
			if !missing[name[1]] || !strings.HasPrefix(name[1], cells[1]+"-") {
				t.Errorf("row %s lists %s, which is not there, not of this row, or listed twice", cells[1], name[1])
			}
			delete(missing, name[1])
		}
		if len(listed) == 0 && strings.TrimSpace(cells[3]) == "" {
			t.Errorf("row %s has no test", cells[1])
		}
	}
	if len(missing) > 0 {
		t.Errorf("not listed: %s", slices.Sorted(maps.Keys(missing)))
	}
}

// testNames are the tests of this package, and with the packages' names before them those of its callers.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for prefix, dir := range map[string]string{"": ".", "mx.": "../mx", "delivery.": "../delivery"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
				names[prefix+m[1]] = true
			}
		}
	}
	return names
}
