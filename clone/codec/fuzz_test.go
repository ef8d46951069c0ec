package codec_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"lifeboat/clone/codec"
)

// fuzzOutput bounds what one fuzz input may unpack to.
const fuzzOutput = 1 << 20

// FuzzReader feeds streams of all formats to NewReader and OpenAt: no panic, no
// more output than allowed, and the same bytes both ways.
func FuzzReader(f *testing.F) {
	content := sample(3000)
	for _, format := range []codec.Format{codec.Raw, codec.Gzip, codec.Zstd} {
		var b bytes.Buffer
		w, err := codec.NewWriter(&b, format, codec.Options{Size: int64(len(content)), Workers: 1})
		if err != nil {
			f.Fatal(err)
		}
		w.Write(content)
		w.Close()
		f.Add(b.Bytes())
	}
	f.Add([]byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x00\x00\x00\x00\x1c\xdfD!\x1f\xb6\xf3}\x01\x00\x00\x00\x00\x04YZ"))
	f.Add([]byte("BZh9\x17rE8P\x90\x00\x00\x00\x00"))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := codec.Limits{Memory: 8 << 20, Output: fuzzOutput}
		stream, serr := drain(codec.NewReader(bytes.NewReader(b), limits))
		file, ferr := drain(codec.OpenAt(bytes.NewReader(b), int64(len(b)), "", limits))
		if len(stream) > fuzzOutput || len(file) > fuzzOutput {
			t.Errorf("got %d and %d bytes, %d are allowed", len(stream), len(file), fuzzOutput)
		}
		if codec.Sniff(b) != codec.Zip && (serr == nil) == (ferr == nil) && !bytes.Equal(stream, file) {
			t.Errorf("got %d bytes from the stream and %d from the file", len(stream), len(file))
		}
	})
}

// FuzzZip puts any bytes behind the head of a zip stream.
func FuzzZip(f *testing.F) {
	member := "\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x82\x89\xd1\xf7\x05\x00\x00\x00\x05\x00\x00\x00\x05\x00\x00\x00a.imghello"
	f.Add([]byte(member + "PK\x01\x02"))
	f.Add([]byte("\x14\x00\x08\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00a.img\x03\x00\x00\x00\x00\x00PK\x07\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := codec.Limits{Memory: 8 << 20, Output: fuzzOutput}
		got, err := drain(codec.NewReader(bytes.NewReader(append([]byte("PK\x03\x04"), b...)), limits))
		if len(got) > fuzzOutput {
			t.Errorf("got %d bytes, %d are allowed", len(got), fuzzOutput)
		}
		if errors.Is(err, io.EOF) {
			t.Errorf("got %v, want a sentence", err)
		}
	})
}

func drain(z *codec.Reader, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return io.ReadAll(z)
}
