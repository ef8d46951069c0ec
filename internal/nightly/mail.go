package nightly

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/wneessen/go-mail"
)

// A mailer sends by SMTP, or by the local sendmail.
type mailer struct {
	Mail
	password string
	roots    *tls.Config // of tests; nil is the system's
}

func newMail(m Mail, v *Vault, host string) (Sender, error) {
	s := &mailer{Mail: m}
	if m.From == "" {
		s.From = "root@" + host
	}
	if m.PasswordFile == "" {
		return s, nil
	}
	if m.TLS == "none" {
		return nil, errors.New("mail: a password is not sent without encryption: notify.mail.tls")
	}
	var err error
	s.password, err = v.Read(m.PasswordFile)
	return s, err
}

func (s *mailer) Name() string { return "mail" }

func (s *mailer) Send(ctx context.Context, m Message) error {
	msg, err := s.message(m)
	if err != nil {
		return err
	}
	if s.Server == "" {
		return s.local(ctx, msg)
	}
	policy := mail.TLSMandatory
	if s.TLS == "none" {
		policy = mail.NoTLS
	}
	options := []mail.Option{mail.WithTLSPolicy(policy), mail.WithPort(s.Port), mail.WithTimeout(sendTimeout)}
	if s.TLS == "tls" {
		options = append(options, mail.WithSSL())
	}
	if s.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.User), mail.WithPassword(s.password))
	}
	if s.roots != nil {
		options = append(options, mail.WithTLSConfig(s.roots))
	}
	client, err := mail.NewClient(s.Server, options...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, msg)
}

func (s *mailer) message(m Message) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(s.From), msg.To(s.To...)); err != nil {
		return nil, err
	}
	msg.Subject(m.Title)
	msg.SetDate()
	msg.SetMessageID()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no answer by a holiday notice
	if m.Bad {
		msg.SetImportance(mail.ImportanceHigh)
	}
	msg.SetBodyString(mail.TypeTextPlain, m.Text+"\n")
	if m.Log != nil {
		msg.AttachReadSeeker("lifeboat.log", bytes.NewReader(m.Log), mail.WithFileContentType(mail.TypeTextPlain))
	}
	return msg, nil
}

// local hands the mail to sendmail: -t takes the recipients from the mail, -i
// does not end at a lone dot.
func (s *mailer) local(ctx context.Context, msg *mail.Msg) error {
	var body bytes.Buffer
	if _, err := msg.WriteTo(&body); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.Sendmail, "-t", "-i")
	cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(body.Bytes(), []byte("\r\n"), []byte("\n")))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", s.Sendmail, err, strings.TrimSpace(tail(out, 500)))
	}
	return nil
}
