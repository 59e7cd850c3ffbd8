package database

// Dialect is in what the databases differ.
type Dialect struct {
	// Place is what errors call the database: no credential.
	Place string
	// ForUpdate ends a SELECT whose row r is about to be changed, SkipLocked one of rows that need not be waited for
	// where somebody else has them locked.
	ForUpdate, SkipLocked string
	// Each is the function that makes a table, with a column "value", of a JSON array.
	Each string
	// Clock asks for the time in nanoseconds; "" where that of the process is as good.
	Clock string
	// Taken says of an error that a unique index refused a row, and names it or its columns.
	Taken func(error) (index string, taken bool)

	name      string
	exclusive bool
	// text is as Each, for an array of strings.
	text string
	// again says of an error that the transaction may be tried once more.
	again func(error) bool
}
