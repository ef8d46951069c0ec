package nightly

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An smtpServer takes one mail (RFC 5321), with STARTTLS and AUTH PLAIN where it
// has them.
type smtpServer struct {
	port int
	cert *tls.Certificate // nil: no STARTTLS
	got  chan smtpMail
}

type smtpMail struct {
	from, login, body string
	to                []string
	encrypted         bool
}

// newSMTP starts one. Its certificate is that of net/http/httptest; roots trusts
// it.
func newSMTP(t *testing.T, encrypt bool) (*smtpServer, *tls.Config) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &smtpServer{port: l.Addr().(*net.TCPAddr).Port, got: make(chan smtpMail, 1)}
	web := httptest.NewTLSServer(nil)
	t.Cleanup(web.Close)
	roots := web.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	roots.ServerName = "example.com"
	if encrypt {
		s.cert = &web.TLS.Certificates[0]
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(c)
		}
	}()
	return s, roots
}

func (s *smtpServer) serve(c net.Conn) {
	defer func() { c.Close() }()
	var m smtpMail
	in := bufio.NewReader(c)
	say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
	say("220 test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		word, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch word {
		case "EHLO":
			say("250-test")
			if s.cert != nil && !m.encrypted {
				say("250-STARTTLS")
			}
			if m.encrypted {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			safe := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*s.cert}})
			c, in, m.encrypted = safe, bufio.NewReader(safe), true
		case "AUTH":
			login, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "AUTH PLAIN "))
			m.login = string(login)
			if !strings.HasSuffix(m.login, "\x00open sesame") {
				say("535 wrong: " + m.login)
				continue
			}
			say("235 yes")
		case "MAIL":
			m.from = line
			say("250 yes")
		case "RCPT":
			m.to = append(m.to, line)
			say("250 yes")
		case "DATA":
			say("354 go on")
			m.body = s.body(in)
			say("250 taken")
			s.got <- m
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 yes")
		}
	}
}

func (s *smtpServer) body(in *bufio.Reader) string {
	var body strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			return body.String()
		}
		io.WriteString(&body, strings.TrimPrefix(line, "."))
	}
}

// decode64 undoes the encoding of an attachment.
func decode64(text string) string {
	b, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(text))
	if err != nil {
		return err.Error()
	}
	return string(b)
}
