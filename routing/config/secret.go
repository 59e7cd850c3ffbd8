package config

import "log/slog"

// Secret is text that must not reach a log, a metric, an error or an answer.
// Printing it in any way gives a mark in its place; Reveal gives the text.
type Secret string

const redacted = "[secret]"

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string               { return redacted }
func (s Secret) GoString() string             { return redacted }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
