package store

// dialect is in what the databases differ.
type dialect struct {
	name string
	// place is what errors call the database: no credential.
	place     string
	exclusive bool
	// forUpdate ends a SELECT whose row r is about to be changed.
	forUpdate string
	// each is the function that makes a table, with a column "value", of a JSON array.
	each string
	// text is the same for an array of strings.
	text string
	// clock asks for the time in nanoseconds; "" where that of the process is as good.
	clock string
	// skipLocked is said of rows that are locked and need not be waited for.
	skipLocked string
	// again says of an error that the transaction may be tried once more.
	again func(error) bool
	// taken says of an error that a unique index refused a row, and names it or its columns.
	taken func(error) (index string, taken bool)
}
