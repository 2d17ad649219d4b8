package pgqueue

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

//go:embed sql/*.sql migrations/*.sql
var files embed.FS

// columns are what a job is read from, as scanJob expects them: j is a row of jobs, m one of messages.
const columns = `j.id, j.n, j.domain, j.due, j.finished, j.held, j.via, j.tries, j.lapses, j.recipients, j.marks, j.attempts, j.leased,
    coalesce(j.token, 0), m.digest, m.sender, m.tenant, m.priority, m.labels, m.size, m.enqueued, m.expires, m.utf8, m.eight_bit,
    m.ret, m.envelope, m.tls`

// statements are the files of the folder sql, by name, for one schema.
type statements map[string]string

// schemaName is what may be the name of a schema. It is always quoted; what would need more than quotes is no name.
var schemaName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`)

func checkSchema(name string) error {
	if !schemaName.MatchString(name) || strings.HasPrefix(name, "pg_") || name == "information_schema" {
		return fmt.Errorf("pgqueue: %w: Options.Schema %.100q is not 1 to 63 letters, digits, '_' and '-', or is PostgreSQL's own", queue.ErrInvalid, name)
	}
	return nil
}

// in puts the quoted name of the schema into a statement.
func in(schema, sql string) string {
	return strings.ReplaceAll(sql, "postroad.", pgx.Identifier{schema}.Sanitize()+".")
}

// rowList is where a statement takes a list; see encodeRows.
var rowList = regexp.MustCompile(`:rows\((\S+), (\$\d+)\)`)

const (
	rowsOfJSON = "json_populate_recordset(NULL::$1, $2::json)"
	// The second half has no rows. It is there for the planner, which expects a hundred of it, as of any JSON, but ten of an
	// array: few enough for it to compare each with each.
	rowsOfArray = "(SELECT * FROM unnest($2::$1[]) UNION ALL SELECT * FROM json_populate_recordset(NULL::$1, NULL))"
)

// statement is one of the folder sql that takes lists as a session sends them.
func (q *Queue) statement(s session, name string) string {
	if s.arrays() {
		return q.arrays[name]
	}
	return q.sql[name]
}

func loadStatements(schema, rows string) (statements, error) {
	list, err := files.ReadDir("sql")
	if err != nil {
		return nil, err
	}
	s := make(statements)
	for _, f := range list {
		b, err := files.ReadFile(path.Join("sql", f.Name()))
		if err != nil {
			return nil, err
		}
		s[strings.TrimSuffix(f.Name(), ".sql")] = strings.ReplaceAll(in(schema, rowList.ReplaceAllString(string(b), rows)), ":columns", columns)
	}
	return s, nil
}
