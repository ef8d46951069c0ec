package nightly

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// web sends what is told over HTTP.
type web struct {
	client *http.Client
	vault  *Vault
}

// maxAnswer is what is cited of a server's answer, in bytes.
const maxAnswer = 300

// send sends a request; an answer that is no success is an error.
func (w web) send(req *http.Request) error {
	answer, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("%s answers %s: %s", req.URL.Host, answer.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

func (w web) post(ctx context.Context, to, kind string, body []byte, headers ...string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return w.send(req)
}

func (w web) postJSON(ctx context.Context, to string, v any, headers ...string) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.post(ctx, to, "application/json", body, headers...)
}

// secret reads one that may be missing.
func (w web) secret(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	return w.vault.Read(name)
}

// hideUser makes the password in an address a secret.
func (w web) hideUser(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no http or https address", address)
	}
	if password, ok := u.User.Password(); ok {
		w.vault.Hide(password)
		w.vault.Hide(url.QueryEscape(password))
	}
	return nil
}

// ntfy: docs.ntfy.sh/publish. A log is the body, and the text a header then;
// headers that are not ASCII are encoded as RFC 2047 says.
type ntfy struct {
	web
	url, token string
}

func newNtfy(n Ntfy, w web) (Sender, error) {
	if err := w.hideUser(n.URL); err != nil {
		return nil, fmt.Errorf("ntfy: %w", err)
	}
	token, err := w.secret(n.TokenFile)
	return &ntfy{w, n.URL, token}, err
}

func (n *ntfy) Name() string { return "ntfy" }

// ntfyMost is how long a message can be (its server's default).
const ntfyMost = 4096

func (n *ntfy) Send(ctx context.Context, m Message) error {
	headers := []string{"X-Title", headerText(m.Title)}
	if m.Bad {
		headers = append(headers, "X-Priority", "high", "X-Tags", "warning")
	}
	if n.token != "" {
		headers = append(headers, "Authorization", "Bearer "+n.token)
	}
	if m.Log == nil {
		return n.post(ctx, n.url, "text/plain; charset=utf-8", []byte(cut(m.Text, ntfyMost)), headers...)
	}
	headers = append(headers, "X-Message", headerText(cut(m.Text, ntfyMost)), "X-Filename", "lifeboat.log")
	return n.post(ctx, n.url, "text/plain; charset=utf-8", m.Log, headers...)
}

// headerText makes a text fit for a header: ntfy undoes RFC 2047, and takes \n
// for the end of a line.
func headerText(text string) string {
	return encodeHeader(strings.ReplaceAll(text, "\n", `\n`))
}

// telegram: core.telegram.org/bots/api, sendMessage and sendDocument.
type telegram struct {
	web
	base         string // with the bot's token
	chat, thread string
}

func newTelegram(t Telegram, w web) (Sender, error) {
	if t.Chat == "" {
		return nil, fmt.Errorf("telegram: notify.telegram.chat is not given")
	}
	token, err := w.secret(t.TokenFile)
	if err == nil {
		err = w.hideUser(t.Server)
	}
	return &telegram{w, strings.TrimRight(t.Server, "/") + "/bot" + token, t.Chat, t.Thread}, err
}

func (t *telegram) Name() string { return "telegram" }

// Telegram's limits, in characters; bytes are on the safe side.
const telegramMost, telegramCaption = 4096, 1024

func (t *telegram) Send(ctx context.Context, m Message) error {
	text := m.Title + "\n\n" + m.Text
	if m.Log == nil {
		body := map[string]string{"chat_id": t.chat, "text": cut(text, telegramMost)}
		if t.thread != "" {
			body["message_thread_id"] = t.thread
		}
		return t.postJSON(ctx, t.base+"/sendMessage", body)
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	form.WriteField("chat_id", t.chat) // to memory: cannot fail
	if t.thread != "" {
		form.WriteField("message_thread_id", t.thread)
	}
	form.WriteField("caption", cut(text, telegramCaption))
	file, err := form.CreateFormFile("document", "lifeboat.log")
	if err != nil {
		return err
	}
	file.Write(m.Log)
	form.Close()
	return t.post(ctx, t.base+"/sendDocument", form.FormDataContentType(), body.Bytes())
}

// pushover: pushover.net/api. Files can only be pictures.
type pushover struct {
	web
	Pushover
	token, user string
}

func newPushover(p Pushover, w web) (Sender, error) {
	token, err := w.secret(p.TokenFile)
	if err != nil {
		return nil, err
	}
	if p.UserFile == "" {
		return nil, fmt.Errorf("pushover: notify.pushover.user-file is not given")
	}
	if p.PriorityFailure < -2 || p.PriorityFailure > 1 {
		return nil, fmt.Errorf("pushover: a priority is -2 to 1, not %d", p.PriorityFailure)
	}
	user, err := w.secret(p.UserFile)
	return &pushover{w, p, token, user}, err
}

func (p *pushover) Name() string { return "pushover" }

// Pushover's limits, in characters.
const pushoverTitle, pushoverMost = 250, 1024

func (p *pushover) Send(ctx context.Context, m Message) error {
	form := url.Values{"token": {p.token}, "user": {p.user}, "title": {cut(m.Title, pushoverTitle)}}
	text := cut(m.Text, pushoverMost)
	if rest := pushoverMost - len(text) - 2; m.Log != nil && rest > 0 {
		text += "\n\n" + tail(m.Log, rest)
	}
	form.Set("message", text)
	if m.Bad {
		form.Set("priority", strconv.Itoa(p.PriorityFailure))
	}
	if p.Device != "" {
		form.Set("device", p.Device)
	}
	return p.post(ctx, strings.TrimRight(p.Server, "/")+"/1/messages.json", "application/x-www-form-urlencoded", []byte(form.Encode()))
}

// slack: docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
// Files cannot be sent by a webhook.
type slack struct {
	web
	url string
}

func newSlack(s Slack, w web) (Sender, error) {
	address, err := w.secret(s.URLFile)
	if err == nil && w.hideUser(address) != nil {
		err = fmt.Errorf("slack: %s holds no http or https address", s.URLFile)
	}
	if u, parseErr := url.Parse(address); parseErr == nil && len(u.Path) > 1 {
		w.vault.Hide(u.Path) // errors cite addresses in other forms
	}
	return &slack{w, address}, err
}

func (s *slack) Name() string { return "slack" }

const slackLog = 3000 // bytes of the log

func (s *slack) Send(ctx context.Context, m Message) error {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	text := "*" + escape.Replace(m.Title) + "*\n" + escape.Replace(m.Text)
	if m.Log != nil {
		text += "\n```\n" + escape.Replace(tail(m.Log, slackLog)) + "```"
	}
	return s.postJSON(ctx, s.url, map[string]string{"text": text})
}

// webhook sends all there is to say, as JSON.
type webhook struct {
	web
	url, token string
}

func newWebhook(h Webhook, w web) (Sender, error) {
	if err := w.hideUser(h.URL); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	token, err := w.secret(h.TokenFile)
	return &webhook{w, h.URL, token}, err
}

func (h *webhook) Name() string { return "webhook" }

func (h *webhook) Send(ctx context.Context, m Message) error {
	var headers []string
	if h.token != "" {
		headers = []string{"Authorization", "Bearer " + h.token}
	}
	body := struct {
		Title string `json:"title"`
		Text  string `json:"text"`
		Bad   bool   `json:"bad"`
		Log   string `json:"log,omitempty"`
		Facts Facts  `json:"facts"`
	}{m.Title, m.Text, m.Bad, string(m.Log), m.Facts}
	return h.postJSON(ctx, h.url, body, headers...)
}
