package netboot_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"lifeboat/internal/fixture"
	"lifeboat/netboot"
)

// pinned is a job that names its image by digest.
var pinned = []byte(strings.Replace(least, "url", "sha256 = \""+digest+"\"\nurl", 1))

// keys makes a pair: the public one as text, the secret one as a file's bytes.
func keys(t *testing.T) (string, []byte) {
	t.Helper()
	public, secret, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := secret.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return public.String(), text
}

func sign(t *testing.T, data, key []byte) []byte {
	t.Helper()
	sig, err := netboot.SignJob(data, key, "")
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// serve serves files by path; what is not there is a 404.
func serve(t *testing.T, files map[string][]byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.HasSuffix(r.URL.Path, ".html") {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		} else {
			w.Header().Set("Content-Type", "application/toml")
		}
		w.Write(data)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestFind(t *testing.T) {
	t.Parallel()
	ours, secret := keys(t)
	other, otherSecret := keys(t)
	sig := sign(t, pinned, secret)
	changed := []byte(strings.Replace(string(pinned), "x.img", "y.img", 1))
	unpinnedSig := signAny(t, []byte(least), secret)

	files := map[string][]byte{
		"/good": pinned, "/good.minisig": sig,
		"/unsigned": pinned,
		"/changed":  changed, "/changed.minisig": sig,
		"/foreign": pinned, "/foreign.minisig": sign(t, pinned, otherSecret),
		"/garbled": pinned, "/garbled.minisig": []byte("not a signature"),
		"/unpinned": []byte(least), "/unpinned.minisig": unpinnedSig,
		"/broken":     []byte("version = 1\nwhat = 2\n"),
		"/login.html": []byte("<html>"),
		"/image":      make([]byte, netboot.MaxJob+1),
	}
	url := serve(t, files)
	trust := netboot.Trust{Keys: []string{ours}}
	for _, c := range []struct {
		path         string
		trust        netboot.Trust
		signed, obey bool
		by, why, err string
	}{
		{"/good", trust, true, true, "lifeboat job a", "", ""},
		{"/good", netboot.Trust{Keys: []string{other, ours}}, true, true, "key ", "", ""},
		{"/good", netboot.Trust{}, false, false, "", "built without a key", ""},
		{"/unsigned", trust, false, false, "", "the job is not signed", ""},
		{"/unsigned", netboot.Trust{Network: true}, false, true, "", "the job is not signed", ""},
		{"/unpinned", trust, false, false, "", "does not say by digest", ""},
		{"/changed", trust, false, false, "", "", "does not fit"},
		{"/changed", netboot.Trust{Keys: []string{ours}, Network: true}, false, false, "", "", "does not fit"},
		{"/foreign", trust, false, false, "", "", "this medium trusts"},
		{"/garbled", trust, false, false, "", "", "its signature is malformed"},
		{"/broken", trust, false, false, "", "", `key "what" is not known`},
		{"/login.html", trust, false, false, "", "", "web page"},
		{"/image", trust, false, false, "", "", "not a job file"},
		{"/good", netboot.Trust{Keys: []string{"RWnonsense"}}, false, false, "", "", `trusted key "RWnonsense"`},
	} {
		f, err := netboot.Find(t.Context(), nil, []string{url + "/absent", url + c.path}, c.trust)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, netboot.ErrNoJob) {
				t.Errorf("%s: got %+v, %v; want %q", c.path, f, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if f.Signed != c.signed || f.Obey != c.obey || !strings.Contains(f.By, c.by) || !strings.Contains(f.Why, c.why) || (c.why == "") != (f.Why == "") || f.URL != url+c.path || f.Job.ID != "a" {
			t.Errorf("%s with %+v: got %+v", c.path, c.trust, f)
		}
	}
}

// signAny signs what SignJob would refuse.
func signAny(t *testing.T, data, key []byte) []byte {
	t.Helper()
	if _, err := netboot.SignJob(data, key, ""); err == nil {
		t.Error("a job that names no digest was signed")
	}
	var k minisign.PrivateKey
	if err := k.UnmarshalText(key); err != nil {
		t.Fatal(err)
	}
	return minisign.Sign(k, data)
}

func TestKeyIDsAreTold(t *testing.T) {
	t.Parallel()
	ours, _ := keys(t)
	_, otherSecret := keys(t)
	_, err := netboot.Trust{Keys: []string{ours}}.Judge(pinned, sign(t, pinned, otherSecret))
	if err == nil {
		t.Fatal("a foreign signature was taken")
	}
	var k minisign.PublicKey
	if uerr := k.UnmarshalText([]byte(ours)); uerr != nil {
		t.Fatal(uerr)
	}
	var s minisign.PrivateKey
	if uerr := s.UnmarshalText(otherSecret); uerr != nil {
		t.Fatal(uerr)
	}
	for _, id := range []uint64{k.ID(), s.ID()} {
		if want := strings.ToUpper(hex16(id)); !strings.Contains(err.Error(), want) {
			t.Errorf("key %s is missing in %q", want, err)
		}
	}
}

func TestNoJob(t *testing.T) {
	t.Parallel()
	url := serve(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	for _, places := range [][]string{{url + "/a", url + "/b"}, {closed + "/a", url + "/a"}, nil} {
		if f, err := netboot.Find(t.Context(), nil, places, netboot.Trust{}); !errors.Is(err, netboot.ErrNoJob) {
			t.Errorf("%q: got %+v, %v", places, f, err)
		}
	}
}

func TestServerFails(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/short":
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte("version = 1"))
		case "/stops":
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte("version = 1"))
			w.(http.Flusher).Flush()
			<-release
		case "/around":
			http.Redirect(w, r, "/around", http.StatusFound)
		case "/signature-stops":
			w.Write(pinned)
		case "/signature-stops.minisig":
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer s.Close()
	defer close(release)
	for path, want := range map[string]string{
		"/500": "500 Internal Server Error", "/short": "after 11 bytes", "/around": "redirects", "/signature-stops": "502 Bad Gateway",
	} {
		if f, err := netboot.Find(t.Context(), nil, []string{s.URL + path}, netboot.Trust{}); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, netboot.ErrNoJob) {
			t.Errorf("%s: got %+v, %v; want %q", path, f, err, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if f, err := netboot.Find(ctx, nil, []string{s.URL + "/stops", s.URL + "/500"}, netboot.Trust{}); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that stops: got %+v, %v", f, err)
	}
}

// The C program minisign judges our signatures, and makes some for us.
func TestSignAsMinisign(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "minisign")
	dir := t.TempDir()
	fixture.Run(t, "minisign", "-G", "-W", "-p", dir+"/key.pub", "-s", dir+"/key.sec")
	job := dir + "/job.toml"
	if err := os.WriteFile(job, pinned, 0o644); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(dir + "/key.sec")
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(dir + "/key.pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(job+".minisig", sign(t, pinned, secret), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := fixture.Run(t, "minisign", "-V", "-p", dir+"/key.pub", "-m", job); !strings.Contains(out, "lifeboat job a") {
		t.Errorf("minisign says %q", out)
	}
	fixture.Run(t, "minisign", "-S", "-s", dir+"/key.sec", "-m", job, "-t", "made by C")
	sig, err := os.ReadFile(job + ".minisig")
	if err != nil {
		t.Fatal(err)
	}
	f, err := netboot.Trust{Keys: []string{string(public)}}.Judge(pinned, sig)
	if err != nil || !f.Signed || !strings.Contains(f.By, "made by C") {
		t.Errorf("its signature: got %+v, %v", f, err)
	}
}
