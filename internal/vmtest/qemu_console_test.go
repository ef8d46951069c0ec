package vmtest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestConsoleOfOneThatGaveUp does not wait for what will not come.
func TestConsoleOfOneThatGaveUp(t *testing.T) {
	t.Parallel()
	c, err := newConsole(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("login:\r\n" + gaveUp + ".")); err != nil {
		t.Fatal(err)
	}
	if err := c.Expect(t.Context(), "login:"); err != nil {
		t.Error(err)
	}
	if err := c.Expect(t.Context(), "login:"); !errors.Is(err, errGaveUp) {
		t.Errorf("got %v, want that it gave up", err)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	c, err := newConsole(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const said = "U-Boot\r\n[\x1b[0;32m  OK  \x1b[0m] Started\r\n\x1b]0;title\x07NONCE 42 SI"
	for i := range len(said) { // a byte at a time: sequences and words come in pieces
		if _, err := c.Write([]byte{said[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Expect(t.Context(), "[  OK  ] St"); err != nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Expect(gone, "U-Boot"); !errors.Is(err, context.Canceled) {
		t.Errorf("what was said before is found again: %v", err)
	}
	if _, err := c.Line(gone, "NONCE"); !errors.Is(err, context.Canceled) {
		t.Errorf("a line without its end was returned: %v", err)
	}
	got := make(chan string)
	go func() {
		line, err := c.Line(t.Context(), "NONCE")
		if err != nil {
			t.Error(err)
		}
		got <- line
	}()
	c.Write([]byte("ZE 7\r\nlogin: "))
	if line := <-got; line != "NONCE 42 SIZE 7" {
		t.Errorf("got line %q", line)
	}
	c.close()
	if err := c.Expect(t.Context(), "login: "); err != nil {
		t.Errorf("last words of a board that ended: %v", err)
	}
	err = c.Expect(t.Context(), "never")
	if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "NONCE 42 SIZE 7\nlogin:") {
		t.Errorf("got error %v, want the console's last lines in it", err)
	}
	if raw, _ := os.ReadFile(c.path); string(raw) != said+"ZE 7\r\nlogin: " {
		t.Errorf("the record is %q", raw)
	}
}
