package pgqueue

// SchemaOf is the schema that q is in.
func SchemaOf(q *Queue) string { return q.schema }
