package mock

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"sync"
)

// DefaultDimensions is the length of a vector when the request does not say.
const DefaultDimensions = 16

// embeddings answers with one vector an input, the same for all of them.
func (s *Server) embeddings(a *ask) []byte {
	size := a.dimensions
	if size <= 0 {
		size = DefaultDimensions
	}
	vector := s.vectors.get(size, a.base64)
	b := make([]byte, 0, 256+a.inputs*(len(vector)+64))
	b = append(b, `{"object":"list","data":[`...)
	for i := range a.inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"object":"embedding","index":`...), int64(i), 10)
		b = append(append(append(b, `,"embedding":`...), vector...), '}')
	}
	b = appendString(append(b, `],"model":`...), a.model)
	u := a.usage(&Plan{}, 0)
	b = strconv.AppendInt(append(b, `,"usage":{"prompt_tokens":`...), int64(u.prompt), 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), int64(u.prompt), 10)
	return append(b, `}}`...)
}

// Vector is the embedding of that many dimensions that every input gets.
func Vector(dimensions int) []float32 {
	v := make([]float32, dimensions)
	for i := range v {
		v[i] = float32(math.Sin(float64(i+1))) / 10
	}
	return v
}

// vectors keeps the encoded forms, since making them costs far more than sending them.
type vectors struct {
	mu   sync.Mutex
	made map[vectorKey][]byte
}

type vectorKey struct {
	dimensions int
	base64     bool
}

func (c *vectors) get(dimensions int, asBase64 bool) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := vectorKey{dimensions, asBase64}
	if b, ok := c.made[key]; ok {
		return b
	}
	if c.made == nil || len(c.made) >= 64 {
		c.made = map[vectorKey][]byte{}
	}
	encode := encodeNumbers
	if asBase64 {
		encode = encodeBase64
	}
	c.made[key] = encode(Vector(dimensions))
	return c.made[key]
}

func encodeNumbers(v []float32) []byte {
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return append(b, ']')
}

// encodeBase64 is OpenAI's encoding_format base64: little-endian float32.
func encodeBase64(v []float32) []byte {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return append(base64.StdEncoding.AppendEncode([]byte{'"'}, raw), '"')
}
