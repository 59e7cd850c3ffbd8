package tree

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// The rules of this file are those of YAML 1.1's type repository (yaml.org/type) in the reading of PyYAML,
// which LiteLLM uses: "yes" is true, 0777 is octal, 1:30 is ninety, and 1e3 without a dot is text.

// ScalarKind is what a plain scalar stands for.
type ScalarKind uint8

const (
	TextScalar ScalarKind = iota
	NullScalar
	BoolScalar
	IntScalar
	FloatScalar
)

// Classify tells what a plain scalar stands for.
func Classify(text string) ScalarKind {
	if isNull(text) {
		return NullScalar
	}
	if _, ok := Boolean(text); ok {
		return BoolScalar
	}
	if !strings.ContainsAny(text[:1], "+-.0123456789") {
		return TextScalar
	}
	if _, ok := Integer(text); ok {
		return IntScalar
	}
	if _, ok := Float(text); ok {
		return FloatScalar
	}
	return TextScalar
}

func isNull(text string) bool {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return true
	}
	return false
}

func Boolean(text string) (value, ok bool) {
	switch text {
	case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true, true
	case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

// Integer reads a whole number of any size: decimal, 0b, 0x, octal with a leading 0, base 60 with colons.
func Integer(text string) (*big.Int, bool) {
	negative, digits := cutSign(text)
	if digits == "" || digits[0] < '0' || digits[0] > '9' || len(digits) > 400 {
		return nil, false
	}
	n, ok := magnitude(digits)
	if ok && negative {
		n.Neg(n)
	}
	return n, ok
}

func magnitude(digits string) (*big.Int, bool) {
	if strings.Contains(digits, ":") {
		return base60(digits)
	}
	digits = strings.ReplaceAll(digits, "_", "")
	base := 10
	switch {
	case strings.HasPrefix(digits, "0b"):
		base, digits = 2, digits[2:]
	case strings.HasPrefix(digits, "0x"):
		base, digits = 16, digits[2:]
	case digits[0] == '0' && len(digits) > 1:
		base, digits = 8, digits[1:]
	}
	if digits == "" || strings.ContainsAny(digits[:1], "+-") {
		return nil, false
	}
	return new(big.Int).SetString(digits, base)
}

func base60(digits string) (*big.Int, bool) {
	parts := strings.Split(digits, ":")
	if parts[0] == "" || parts[0][0] == '0' {
		return nil, false
	}
	sum := new(big.Int)
	for i, part := range parts {
		n, ok := new(big.Int).SetString(strings.ReplaceAll(part, "_", ""), 10)
		if !ok || i > 0 && (len(part) > 2 || part == "" || part[0] < '0' || part[0] > '9' || n.Int64() >= 60) {
			return nil, false
		}
		sum.Add(sum.Mul(sum, big.NewInt(60)), n)
	}
	return sum, true
}

// Float reads a number with a dot; an exponent needs its sign. Infinities and NaN are floats.
func Float(text string) (float64, bool) {
	negative, digits := cutSign(text)
	f, ok := unsignedFloat(digits, len(digits) == len(text))
	if negative {
		f = -f
	}
	return f, ok
}

func unsignedFloat(digits string, unsigned bool) (float64, bool) {
	switch digits {
	case ".inf", ".Inf", ".INF":
		return math.Inf(1), true
	case ".nan", ".NaN", ".NAN":
		return math.NaN(), unsigned
	}
	whole, fraction, dotted := strings.Cut(digits, ".")
	if !dotted || whole == "" && !unsigned || len(digits) > 400 {
		return 0, false
	}
	if strings.Contains(whole, ":") {
		n, ok := base60(whole)
		f, err := strconv.ParseFloat("0."+strings.ReplaceAll(fraction, "_", "")+"0", 64)
		if !ok || err != nil || !onlyDigits(fraction) {
			return 0, false
		}
		w, _ := new(big.Float).SetInt(n).Float64()
		return w + f, true
	}
	if !floatShape(whole, fraction) {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(digits, "_", ""), 64)
	return f, err == nil
}

// floatShape checks the parts around the dot: digits, then digits and perhaps e+N or e-N.
func floatShape(whole, fraction string) bool {
	mantissa, exponent, hasExponent := cutExponent(fraction)
	if hasExponent && (len(exponent) < 2 || !strings.ContainsAny(exponent[:1], "+-") || !onlyDigits(exponent[1:])) {
		return false
	}
	if whole == "" && mantissa == "" || strings.HasPrefix(whole, "_") {
		return false
	}
	return onlyDigits(whole) && onlyDigits(mantissa)
}

func cutExponent(s string) (before, after string, found bool) {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func onlyDigits(s string) bool {
	return strings.Trim(s, "0123456789_") == ""
}

func cutSign(text string) (negative bool, rest string) {
	if text != "" && (text[0] == '-' || text[0] == '+') {
		return text[0] == '-', text[1:]
	}
	return false, text
}

// ScalarJSON writes a plain scalar as JSON, numbers with all their digits. It fails for what JSON can't say.
func ScalarJSON(text string) (json.RawMessage, bool) {
	switch Classify(text) {
	case NullScalar:
		return json.RawMessage("null"), true
	case BoolScalar:
		b, _ := Boolean(text)
		return strconv.AppendBool(nil, b), true
	case IntScalar:
		n, _ := Integer(text)
		return json.RawMessage(n.String()), true
	case FloatScalar:
		return floatJSON(text)
	default:
		return Quote(text), true
	}
}

func floatJSON(text string) (json.RawMessage, bool) {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text), true
	}
	f, _ := Float(text)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, false
	}
	return strconv.AppendFloat(nil, f, 'g', -1, 64), true
}

// Quote writes text as a JSON string; unlike json.Marshal it leaves <, > and & alone.
func Quote(text string) json.RawMessage {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return json.RawMessage(`""`)
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}
