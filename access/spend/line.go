package spend

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/nestor-gateway/nestor/access/record"
)

// A row on disk is a line: the CRC-32C of its JSON in hex, a space, the JSON. What is broken ends at the next line.

// sumLength is that of the hex.
const sumLength = 8

func checksum(text []byte) uint32 { return crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)) }

func appendLine(b []byte, row *record.Spend) ([]byte, error) {
	text, err := json.Marshal(row)
	if err != nil {
		return b, fmt.Errorf("encode the row %q of the spend log: %w", row.ID, err)
	}
	b = hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, checksum(text)))
	b = append(b, ' ')
	b = append(b, text...)
	return append(b, '\n'), nil
}

// parseLine reads a line without its end; false when it is not as it was written.
func parseLine(line []byte) (row record.Spend, ok bool) {
	if len(line) <= sumLength || line[sumLength] != ' ' {
		return row, false
	}
	var sum [sumLength / 2]byte
	if _, err := hex.Decode(sum[:], bytes.ToLower(line[:sumLength])); err != nil {
		return row, false
	}
	text := line[sumLength+1:]
	if binary.BigEndian.Uint32(sum[:]) != checksum(text) {
		return row, false
	}
	return row, json.Unmarshal(text, &row) == nil
}
