//go:build goexperiment.jsonv2

package openai

import (
	"bytes"
	"encoding/json/jsontext"
	"io"
	"testing"
)

// BenchmarkScanJSONText walks over the members of a body and checks every value.
func BenchmarkScanJSONText(b *testing.B) {
	for name, body := range benchBodies() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := walk(jsontext.NewDecoder(bytes.NewBuffer(body))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func walk(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		if err := d.SkipValue(); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return err
	}
	return nil
}
