package nightly

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A request is what a channel's server got.
type request struct {
	method, path string
	header       http.Header
	body         []byte
}

// An inbox is a server of any channel.
type inbox struct {
	*httptest.Server
	got    []request
	status int
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	b := &inbox{status: http.StatusOK}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.got = append(b.got, request{r.Method, r.URL.Path, r.Header, body})
		w.WriteHeader(b.status)
		fmt.Fprintf(w, "you asked for %s with %v", r.URL.Path, r.Header) // as careless servers do
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *inbox) last(t *testing.T) request {
	t.Helper()
	if len(b.got) == 0 {
		t.Fatal("nothing arrived")
	}
	return b.got[len(b.got)-1]
}

// secrets are put into files here, and must be found nowhere else.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "secret"), text+"\n")
}

// message has what is hard to send: umlauts, a long text, markup.
func message() Message {
	return Message{Title: "Küche: \"nightly\" <done>", Text: "Größe: 5 & mehr\nzweite Zeile", Log: []byte("first line\nlast <line>\n"), Facts: Facts{Host: "Küche", Size: 5}}
}

// channels are the settings of all of them, by the server that they go to.
func channels(t *testing.T, server string) Notify {
	n := Defaults().Notify
	n.Log = true
	n.Ntfy = Ntfy{server + "/topic", secretFile(t, "ntfy-secret")}
	n.Telegram = Telegram{secretFile(t, "12345:telegram-secret"), "-100", "7", server}
	n.Pushover = Pushover{secretFile(t, "pushover-token-secret"), secretFile(t, "pushover-user-secret"), "phone", server, 1}
	n.Slack = Slack{secretFile(t, server+"/services/T0/B0/slack-secret")}
	n.Webhook = Webhook{strings.Replace(server, "http://", "http://user:webhook-secret@", 1) + "/hook", secretFile(t, "bearer-secret")}
	return n
}

func crier(t *testing.T, n Notify, logf func(string, ...any)) *Crier {
	t.Helper()
	if logf == nil {
		logf = t.Logf
	}
	c, err := NewCrier(n, http.DefaultClient, NewVault(""), "pi", logf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func one(t *testing.T, pick func(all Notify, n *Notify), log bool) request {
	t.Helper()
	b := newInbox(t)
	all, n := channels(t, b.URL), Notify{Log: log}
	pick(all, &n)
	m := message()
	m.Bad = true
	if err := crier(t, n, nil).Tell(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return b.last(t)
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func decodeHeader(t *testing.T, text string) string {
	t.Helper()
	got, err := new(mime.WordDecoder).DecodeHeader(text)
	if err != nil {
		t.Error(err)
	}
	return got
}

func TestNtfy(t *testing.T) {
	t.Parallel()
	pick := func(all Notify, n *Notify) { n.Ntfy = all.Ntfy }
	r := one(t, pick, false)
	equal(t, "path", r.path, "/topic")
	equal(t, "body", string(r.body), message().Text)
	equal(t, "title", decodeHeader(t, r.header.Get("X-Title")), message().Title)
	equal(t, "priority", r.header.Get("X-Priority"), "high")
	equal(t, "token", r.header.Get("Authorization"), "Bearer ntfy-secret")
	r = one(t, pick, true)
	equal(t, "file", string(r.body), string(message().Log))
	equal(t, "name", r.header.Get("X-Filename"), "lifeboat.log")
	equal(t, "message", decodeHeader(t, r.header.Get("X-Message")), strings.ReplaceAll(message().Text, "\n", `\n`))
}

func TestTelegram(t *testing.T) {
	t.Parallel()
	pick := func(all Notify, n *Notify) { n.Telegram = all.Telegram }
	r := one(t, pick, false)
	equal(t, "path", r.path, "/bot12345:telegram-secret/sendMessage")
	equal(t, "body", string(r.body), string(must(json.Marshal(map[string]string{
		"chat_id": "-100", "message_thread_id": "7", "text": message().Title + "\n\n" + message().Text}))))
	r = one(t, pick, true)
	equal(t, "path", r.path, "/bot12345:telegram-secret/sendDocument")
	_, params, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	form, err := multipart.NewReader(bytes.NewReader(r.body), params["boundary"]).ReadForm(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "caption", form.Value["caption"][0], message().Title+"\n\n"+message().Text)
	equal(t, "chat", form.Value["chat_id"][0]+form.Value["message_thread_id"][0], "-1007")
	file := must(form.File["document"][0].Open())
	equal(t, "file", string(must(io.ReadAll(file))), string(message().Log))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestPushover(t *testing.T) {
	t.Parallel()
	for _, log := range []bool{false, true} {
		r := one(t, func(all Notify, n *Notify) { n.Pushover = all.Pushover }, log)
		equal(t, "path", r.path, "/1/messages.json")
		want := url.Values{"token": {"pushover-token-secret"}, "user": {"pushover-user-secret"}, "title": {message().Title},
			"message": {message().Text}, "priority": {"1"}, "device": {"phone"}}
		if log {
			want.Set("message", message().Text+"\n\n"+string(message().Log))
		}
		equal(t, "form", string(r.body), want.Encode())
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	r := one(t, func(all Notify, n *Notify) { n.Slack = all.Slack }, true)
	equal(t, "path", r.path, "/services/T0/B0/slack-secret")
	var body struct{ Text string }
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatal(err)
	}
	equal(t, "text", body.Text, "*Küche: \"nightly\" &lt;done&gt;*\nGröße: 5 &amp; mehr\nzweite Zeile\n```\nfirst line\nlast &lt;line&gt;\n```")
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	r := one(t, func(all Notify, n *Notify) { n.Webhook = all.Webhook }, true)
	equal(t, "path", r.path, "/hook")
	equal(t, "token", r.header.Get("Authorization"), "Bearer bearer-secret")
	var body struct {
		Title, Text, Log string
		Bad              bool
		Facts            Facts
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatal(err)
	}
	m := message()
	if body.Title != m.Title || body.Text != m.Text || body.Log != string(m.Log) || !body.Bad || body.Facts.Size != 5 {
		t.Errorf("got %+v", body)
	}
}

// checkMail reads a mail by net/mail.
func checkMail(t *testing.T, body string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	equal(t, "subject", decodeHeader(t, m.Header.Get("Subject")), message().Title)
	equal(t, "from", m.Header.Get("From"), "<root@pi>")
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	text := must(io.ReadAll(must(parts.NextPart()))) // it undoes quoted-printable
	equal(t, "text", strings.ReplaceAll(string(text), "\r\n", "\n"), message().Text+"\n")
	file := must(parts.NextPart())
	equal(t, "name", file.FileName(), "lifeboat.log")
	log := string(must(io.ReadAll(file)))
	equal(t, "log", decode64(log), string(message().Log))
}

func TestMailBySMTP(t *testing.T) {
	t.Parallel()
	s, roots := newSMTP(t, true)
	n := Mail{To: []string{"a@example.org", "B <b@example.org>"}, Server: "127.0.0.1", Port: s.port, TLS: "starttls", User: "me", PasswordFile: secretFile(t, "open sesame")}
	sender, err := newMail(n, NewVault(""), "pi")
	if err != nil {
		t.Fatal(err)
	}
	sender.(*mailer).roots = roots
	if err := sender.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	got := <-s.got
	if !got.encrypted || got.login != "\x00me\x00open sesame" || len(got.to) != 2 || !strings.Contains(got.to[1], "<b@example.org>") {
		t.Errorf("got %+v", got)
	}
	checkMail(t, got.body)

	n.PasswordFile = secretFile(t, "another word")
	v := NewVault("")
	if sender, err = newMail(n, v, "pi"); err != nil {
		t.Fatal(err)
	}
	sender.(*mailer).roots = roots
	if err = v.CleanError(sender.Send(t.Context(), message())); err == nil || strings.Contains(err.Error(), "another word") {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestMailIsNotSentInTheOpen: a server without STARTTLS gets neither password
// nor mail, unless that is wished.
func TestMailIsNotSentInTheOpen(t *testing.T) {
	t.Parallel()
	s, _ := newSMTP(t, false)
	n := Notify{Mail: Mail{To: []string{"a@example.org"}, Server: "127.0.0.1", Port: s.port, TLS: "starttls"}}
	if err := crier(t, n, nil).Tell(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("no STARTTLS: %v", err)
	}
	n.Mail.TLS, n.Log = "none", true
	if err := crier(t, n, nil).Tell(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	got := <-s.got
	checkMail(t, got.body)
	n.Mail.PasswordFile = secretFile(t, "open sesame")
	if _, err := NewCrier(n, nil, NewVault(""), "pi", nil); err == nil || !strings.Contains(err.Error(), "without encryption") {
		t.Errorf("a password in the open: %v", err)
	}
}

func TestMailBySendmail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := write(t, filepath.Join(dir, "sendmail"), "#!/bin/sh\necho \"$@\" > "+dir+"/args; cat > "+dir+"/mail\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	n := Notify{Log: true, Mail: Mail{To: []string{"root"}, Sendmail: program}}
	n.Mail.To = []string{"root@pi"}
	if err := crier(t, n, nil).Tell(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	equal(t, "arguments", string(must(os.ReadFile(dir+"/args"))), "-t -i\n")
	body := string(must(os.ReadFile(dir + "/mail")))
	if strings.Contains(body, "\r") || !strings.Contains(body, "To: <root@pi>") {
		t.Errorf("got %q", body)
	}
	checkMail(t, body)
	write(t, program, "#!/bin/sh\necho no such user; exit 67\n")
	if err := crier(t, n, nil).Tell(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "no such user") {
		t.Errorf("a sendmail that fails: %v", err)
	}
}

// TestNoSecretIsSaid lets all channels fail in each way, and looks for their
// secrets in all that is said and logged.
func TestNoSecretIsSaid(t *testing.T) {
	t.Parallel()
	b := newInbox(t)
	b.status = http.StatusForbidden
	n := channels(t, b.URL)
	var said bytes.Buffer
	logf := func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
	v := NewVault("")
	c, err := NewCrier(n, http.DefaultClient, v, "pi", logf)
	if err != nil {
		t.Fatal(err)
	}
	m := message()
	m.Log = []byte("a hook printed telegram 12345:telegram-secret\n")
	try := func(ctx context.Context) {
		t.Helper()
		err := c.Tell(ctx, m)
		if err == nil || strings.Count(err.Error(), "notice by") != 5 {
			t.Errorf("five channels fail: %v", err)
		}
		fmt.Fprintf(&said, "%v\n%+v\n%#v\n", err, err, err.Error())
	}
	try(t.Context())
	for _, r := range b.got {
		if strings.Contains(string(r.body), "a hook printed") && strings.Contains(string(r.body), "12345:telegram-secret") {
			t.Errorf("a secret was sent within a log to %s", r.path)
		}
	}
	b.Close()
	try(t.Context()) // connection refused: net/http cites the address
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	try(ctx)
	fmt.Fprintf(v.Writer(&said), "log: %s\n", n.Telegram.Server+"/bot12345:telegram-secret/x")
	if strings.Count(said.String(), "***") < 8 {
		t.Errorf("little was taken out of\n%s", &said)
	}
	for _, secret := range []string{"ntfy-secret", "telegram-secret", "pushover-token-secret", "pushover-user-secret", "slack-secret", "webhook-secret", "bearer-secret"} {
		if i := strings.Index(said.String(), secret); i >= 0 {
			t.Errorf("%s was said: …%s", secret, said.String()[max(0, i-80):i+len(secret)])
		}
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	file := secretFile(t, "word")
	if got, err := NewVault("").Read(file); got != "word" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	dir := filepath.Dir(file)
	if got, err := NewVault(dir).Read("secret"); got != "word" || err != nil {
		t.Errorf("credential: got %q, %v", got, err)
	}
	if _, err := NewVault("").Read("secret"); err == nil || !strings.Contains(err.Error(), "LoadCredential") {
		t.Errorf("no credentials: %v", err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := NewVault("").Read(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("open to the group: %v", err)
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	for on, want := range map[string][]Kind{
		"errors": {Reserved, Failed, Died, Overdue, Test},
		"all":    {Done, Reserved, Failed, Died, Overdue, Test},
		"start":  {Started, Done, Reserved, Failed, Died, Overdue, Test},
	} {
		var got []Kind
		for _, k := range []Kind{Started, Done, Reserved, Failed, Died, Overdue, Test} {
			if (&Crier{on: on}).Wants(k) {
				got = append(got, k)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", on, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	equal(t, "cut", cut("größer", 6), "gr…")
	equal(t, "cut", cut("größer", 8), "größer")
	equal(t, "tail", tail([]byte("one\ntwo\nthree\n"), 9), "three\n")
}
