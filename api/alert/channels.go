package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// post sends JSON and wants a 2xx. Errors never hold the address, which may
// carry a secret.
func post(ctx context.Context, client *http.Client, address string, body any, sign func(*http.Request, []byte)) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(b))
	if err != nil {
		return errors.New("the address cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "barkeep")
	if sign != nil {
		sign(req, b)
	}
	resp, err := client.Do(req)
	if err != nil {
		return ours(err)
	}
	defer resp.Body.Close() // it was only read
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		// Not in its own words, which may be ours with a secret in them.
		return fmt.Errorf("the receiver answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return nil
}

// ours is what is told of an error of HTTP: without the address, and without the
// words of the other side, which may repeat it. net/http quotes, for instance,
// the line of a header that it cannot read.
func ours(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*net.OpError](err); ok { // to dial, read and write: addresses only
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return errors.New("no answer in time")
	}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, http.ErrSchemeMismatch} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errors.New("what the receiver answers is no HTTP")
}

// Webhook posts notices as JSON. With a secret each request carries
// X-Barkeep-Timestamp, in Unix seconds, and X-Barkeep-Signature: sha256= and the
// hexadecimal HMAC-SHA256 of the timestamp, a dot and the body.
type Webhook struct {
	Client *http.Client
	URL    string
	Secret string
	Now    func() time.Time // nil is the clock
}

// Name is the name of the channel.
func (w *Webhook) Name() string { return "webhook" }

// Send delivers a notice.
func (w *Webhook) Send(ctx context.Context, n Notice) error {
	return post(ctx, w.Client, w.URL, n, func(r *http.Request, body []byte) {
		r.Header.Set("X-Barkeep-Notice", n.ID) // the same when it is sent again
		if w.Secret == "" {
			return
		}
		now := time.Now
		if w.Now != nil {
			now = w.Now
		}
		at := strconv.FormatInt(now().Unix(), 10)
		m := hmac.New(sha256.New, []byte(w.Secret))
		m.Write([]byte(at + "."))
		m.Write(body)
		r.Header.Set("X-Barkeep-Timestamp", at)
		r.Header.Set("X-Barkeep-Signature", "sha256="+hex.EncodeToString(m.Sum(nil)))
	})
}

// Slack posts to an incoming webhook of Slack.
type Slack struct {
	Client *http.Client
	URL    string
}

// Name is the name of the channel.
func (s *Slack) Name() string { return "slack" }

// Send delivers a notice.
func (s *Slack) Send(ctx context.Context, n Notice) error {
	// Slack reads < > and & as markup.
	text := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(n.Text())
	return post(ctx, s.Client, s.URL, map[string]any{"text": text}, nil)
}

// Discord posts to a webhook of Discord.
type Discord struct {
	Client *http.Client
	URL    string
}

// Name is the name of the channel.
func (d *Discord) Name() string { return "discord" }

// Send delivers a notice. A message of Discord has at most 2,000 characters.
func (d *Discord) Send(ctx context.Context, n Notice) error {
	text := []rune(n.Text())
	return post(ctx, d.Client, d.URL, map[string]any{
		"content": string(text[:min(len(text), 1990)]), "allowed_mentions": map[string]any{"parse": []string{}},
	}, nil)
}

// Telegram sends through a bot of Telegram.
type Telegram struct {
	Client *http.Client
	Token  string
	Chat   string
	URL    string // empty is https://api.telegram.org
}

// Name is the name of the channel.
func (t *Telegram) Name() string { return "telegram" }

// Send delivers a notice. A message of Telegram has at most 4,096 characters.
func (t *Telegram) Send(ctx context.Context, n Notice) error {
	base := t.URL
	if base == "" {
		base = "https://api.telegram.org"
	}
	text := []rune(n.Text())
	return post(ctx, t.Client, base+"/bot"+t.Token+"/sendMessage", map[string]any{"chat_id": t.Chat, "text": string(text[:min(len(text), 4000)])}, nil)
}

// Alertmanager posts to the API of Prometheus' Alertmanager, version 2.
type Alertmanager struct {
	Client *http.Client
	URL    string // http://alertmanager:9093
}

// Name is the name of the channel.
func (a *Alertmanager) Name() string { return "alertmanager" }

// Send delivers a notice.
func (a *Alertmanager) Send(ctx context.Context, n Notice) error {
	list := make([]map[string]any, 0, len(n.Alerts))
	for _, x := range n.Alerts {
		one := map[string]any{
			"labels":      map[string]string{"alertname": x.Rule, "severity": string(x.Severity), "subject": x.Subject, "type": string(x.Type), "job": "barkeep"},
			"annotations": map[string]string{"summary": n.Title(), "description": x.Detail},
			"startsAt":    x.Since.Std().Format(time.RFC3339),
		}
		if x.Resolved != 0 {
			one["endsAt"] = x.Resolved.Std().Format(time.RFC3339)
		}
		list = append(list, one)
	}
	return post(ctx, a.Client, strings.TrimRight(a.URL, "/")+"/api/v2/alerts", list, nil)
}

// Email sends by SMTP, with TLS from the start on port 465, and with STARTTLS
// where the server offers it.
type Email struct {
	Server   string // host:port
	User     string
	Password string
	From     string
	To       []string
	// Dial connects; nil connects to any address.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Name is the name of the channel.
func (e *Email) Name() string { return "email" }

// Send delivers a notice.
func (e *Email) Send(ctx context.Context, n Notice) error {
	dial := e.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	host, port, err := net.SplitHostPort(e.Server)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, "tcp", e.Server)
	if err != nil {
		return err
	}
	// Closing it makes what waits for the server give up.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close() // a message that was taken is taken
	if err := e.speak(conn, host, port == "465", n); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errors.New(e.hide(err.Error()))
	}
	return nil
}

// speak is one conversation with the server.
func (e *Email) speak(conn net.Conn, host string, secure bool, n Notice) error {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if secure {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(config); err != nil {
			return err
		}
	}
	if e.User != "" {
		if ok, _ := c.Extension("AUTH"); !ok {
			return errors.New("the mail server takes no user: leave alerts.mail_user out")
		}
		if err := c.Auth(smtp.PlainAuth("", e.User, e.Password, host)); err != nil {
			return err
		}
	}
	if err := c.Mail(e.From); err != nil {
		return err
	}
	for _, to := range e.To {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	clean := strings.NewReplacer("\r", " ", "\n", " ")
	msg := "From: " + e.From + "\r\nTo: " + strings.Join(e.To, ", ") + "\r\nSubject: Barkeep " + clean.Replace(n.Title()) +
		"\r\nMessage-ID: <" + n.ID + "@barkeep>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" +
		strings.ReplaceAll(n.Text(), "\n", "\r\n") + "\r\n"
	if _, err := io.WriteString(w, msg); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // it has the message
	return nil
}

// hide takes the password out of what a server says.
func (e *Email) hide(text string) string {
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + e.User + "\x00" + e.Password))
	for _, s := range []string{plain, e.Password} {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return text
}

// Heartbeat asks an address of a dead man's switch now and then: when the
// requests stay away, it raises the alarm.
func Heartbeat(ctx context.Context, client *http.Client, address string, every time.Duration, log func(error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := post(ctx, client, address, map[string]any{"alive": true}, nil); err != nil && ctx.Err() == nil {
			log(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
