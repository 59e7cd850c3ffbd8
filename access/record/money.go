package record

import (
	"math"
	"strconv"
)

// Nano is an amount of money in nano-dollars: 1e-9 USD. Sums of it are exact.
type Nano int64

// perUSD is how many nano-dollars a dollar has.
const perUSD = 1e9

// MostNano bounds every amount, some 4.6 billion USD, so that two can be added without overflow.
const MostNano Nano = math.MaxInt64 / 2

// FromUSD rounds dollars to nano-dollars. What is negative or no number is 0; what is too large is MostNano.
func FromUSD(usd float64) Nano {
	n := math.Round(usd * perUSD)
	switch {
	case !(n > 0):
		return 0
	case n >= float64(MostNano):
		return MostNano
	}
	return Nano(n)
}

// USD is for display and JSON.
func (n Nano) USD() float64 { return float64(n) / perUSD }

// String is the amount in USD with as many decimals as it needs, for example "0.000012".
func (n Nano) String() string { return strconv.FormatFloat(n.USD(), 'f', -1, 64) }
