package progress_test

import (
	"testing"
	"time"

	"lifeboat/internal/progress"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := progress.New(func() time.Time { return now })
	m.Phase("copy", 400)
	now = now.Add(10 * time.Second)
	m.Add(60)
	m.Add(40)
	s := m.State()
	if want := (progress.State{Phase: "copy", Done: 100, Total: 400, Elapsed: 10 * time.Second}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	if got, want := s.Rate(), 10.0; got != want {
		t.Errorf("rate: got %v, want %v", got, want)
	}
	if got, want := s.Left(), 30*time.Second; got != want {
		t.Errorf("left: got %v, want %v", got, want)
	}
	m.Phase("verify", -1)
	if got := m.State(); got.Done != 0 || got.Left() >= 0 || got.Rate() != 0 {
		t.Errorf("a new phase begins with %+v", got)
	}
}

func TestNilMeterCountsNothing(t *testing.T) {
	t.Parallel()
	var m *progress.Meter
	m.Phase("copy", 1)
	m.Add(1)
	if got := m.State(); got.Total != -1 || got.Done != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.00 kB", 9994: "9.99 kB", 9996: "10.0 kB", 99960: "100 kB", 999499: "999 kB", 999500: "1.00 MB",
		31914983424: "31.9 GB", 2 << 40: "2.20 TB",
	} {
		if got := progress.Bytes(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
