package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options say where S3 is and who we are there. The zero value is Amazon's,
// asked without a key.
type S3Options struct {
	Endpoint        string // https://host:port; "" = Amazon's
	Region          string // "" = us-east-1, which most other servers are content with
	AccessKey       string
	SecretKey       string
	SessionToken    string
	CredentialsFile string        // as Amazon's tools have it, where no AccessKey is given; "" = none
	Profile         string        // in it; "" = default
	Patience        time.Duration // how long a server may be silent; 0 = 60 s
}

const s3Patience = time.Minute

// An S3 store is a bucket, or what of it begins with a prefix. A key that may
// only read, or only put, does for just that.
type S3 struct {
	bucket   string
	prefix   string // "" or ends in a slash
	client   minio.Core
	seen     *answers
	endpoint string
	patience time.Duration
	keyless  bool
}

var _ Store = (*S3)(nil)

// NewS3 is the store of s3://bucket/prefix. A query may hold endpoint, region,
// path-style, credentials (a file) and profile, which count before those of o; it
// cannot hold keys. A nil client means that of NewClient.
func NewS3(u *url.URL, o S3Options, client *http.Client) (*S3, error) {
	if u.User != nil {
		return nil, fmt.Errorf("the place s3://%s has a key in it, where everybody sees it: give it as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in a file", u.Host)
	}
	lookup, err := o.query(u)
	if err != nil {
		return nil, err
	}
	end, err := url.Parse(cmp.Or(o.Endpoint, "https://s3.amazonaws.com"))
	if err != nil || end.Host == "" || end.Scheme != "https" && end.Scheme != "http" || strings.Trim(end.Path, "/") != "" || end.User != nil {
		return nil, fmt.Errorf("the place s3://%s: an endpoint is written https://host:port", u.Host)
	}
	s := &S3{
		bucket: u.Host, prefix: strings.Trim(u.Path, "/"), endpoint: end.Scheme + "://" + end.Host,
		patience: cmp.Or(o.Patience, s3Patience), seen: &answers{next: s3Transport(client)},
	}
	if s.prefix != "" {
		s.prefix += "/"
	}
	creds := o.credentials()
	s.keyless = creds == nil
	s.client.Client, err = minio.New(end.Host, &minio.Options{
		Creds: creds, Secure: end.Scheme == "https", Transport: s.seen, BucketLookup: lookup,
		Region: cmp.Or(o.Region, "us-east-1"), MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("the place s3://%s: %w", u.Host, err)
	}
	return s, nil
}

// query takes what a place says of itself.
func (o *S3Options) query(u *url.URL) (minio.BucketLookupType, error) {
	lookup := minio.BucketLookupAuto
	for key, values := range u.Query() {
		v := values[0]
		switch key {
		case "endpoint":
			o.Endpoint = v
		case "region":
			o.Region = v
		case "profile":
			o.Profile, o.AccessKey = v, ""
		case "credentials":
			o.CredentialsFile, o.AccessKey = v, ""
		case "path-style":
			yes, err := strconv.ParseBool(v)
			if err != nil {
				return 0, fmt.Errorf("the place s3://%s: path-style is true or false", u.Host)
			}
			lookup = minio.BucketLookupDNS
			if yes {
				lookup = minio.BucketLookupPath
			}
		default:
			return 0, fmt.Errorf("the place s3://%s has a %q behind its ?, but only endpoint, region, path-style, credentials and profile may be there", u.Host, key)
		}
	}
	return lookup, nil
}

func (o *S3Options) credentials() *credentials.Credentials {
	switch {
	case o.AccessKey != "":
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	case o.CredentialsFile != "":
		return credentials.NewFileAWSCredentials(o.CredentialsFile, cmp.Or(o.Profile, "default"))
	}
	return nil
}

// hostS3 is what Amazon's tools take from the environment.
func hostS3(getenv func(string) string) S3Options {
	o := S3Options{
		Endpoint:        cmp.Or(getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL")),
		Region:          cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")),
		AccessKey:       getenv("AWS_ACCESS_KEY_ID"),
		SecretKey:       getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    getenv("AWS_SESSION_TOKEN"),
		CredentialsFile: getenv("AWS_SHARED_CREDENTIALS_FILE"),
		Profile:         getenv("AWS_PROFILE"),
	}
	if home := getenv("HOME"); o.CredentialsFile == "" && home != "" {
		o.CredentialsFile = path.Join(home, ".aws", "credentials")
		if !isFile(o.CredentialsFile) {
			o.CredentialsFile = ""
		}
	}
	return o
}

// s3Transport is a client's, without its limit for an answer to come: a server
// may take minutes to put a large file together, and try has the watch.
func s3Transport(client *http.Client) http.RoundTripper {
	if client == nil || client.Transport == nil {
		client = NewClient()
	}
	t, ok := client.Transport.(*http.Transport)
	if !ok {
		return client.Transport
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = 0
	return t
}

// key is a file's name in the bucket.
func (s *S3) key(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." {
		return "", fmt.Errorf("the name %q leads out of %s: %w", name, s.url(""), fs.ErrInvalid)
	}
	return s.prefix + name, nil
}

// url is a file as messages name it.
func (s *S3) url(name string) string { return "s3://" + s.bucket + "/" + s.prefix + name }

// Stat looks at one file.
func (s *S3) Stat(ctx context.Context, name string) (Info, error) {
	info, err := s.head(ctx, name)
	var no *S3Error
	if !errors.As(err, &no) || no.Status == http.StatusNotFound && s.seen.good.Load() {
		return info, err
	}
	// The answer to a HEAD has no body that would say why: a file that is not
	// there looks like a bucket, or a key, that is not.
	o, err := s.openRange(ctx, name, 0, 1, Info{Size: -1})
	if err != nil {
		return Info{}, err
	}
	return o.info, o.body.Close()
}

func (s *S3) head(ctx context.Context, name string) (info Info, err error) {
	key, err := s.key(name)
	if err != nil {
		return Info{}, err
	}
	err = s.try(ctx, name, s.patience, func(ctx context.Context, _ *watch) error {
		o, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
		if err == nil {
			info = Info{name, o.Size, o.LastModified, o.ETag}
		}
		return err
	})
	return info, err
}

// Remove implements Store. A key that may not look at files cannot remove them
// either: S3 does not say whether there was one.
func (s *S3) Remove(ctx context.Context, name string) error {
	if _, err := s.Stat(ctx, name); err != nil {
		return err
	}
	return s.try(ctx, name, s.patience, func(ctx context.Context, _ *watch) error {
		return s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
	})
}

// List implements Store, page by page. A broken listing goes on behind the last
// name.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		last, enough := "", false
		err := s.try(ctx, prefix, s.patience, func(ctx context.Context, w *watch) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			opts := minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true, StartAfter: last}
			for o := range s.client.ListObjectsIter(ctx, s.bucket, opts) {
				if o.Err != nil {
					return o.Err
				}
				w.progress()
				name, ok := strings.CutPrefix(o.Key, s.prefix)
				if !ok || !fs.ValidPath(name) || o.Key <= last {
					continue // a folder's mark, or a name that is none of ours
				}
				last = o.Key
				w.rest()
				if enough = !yield(Info{name, o.Size, o.LastModified, strings.Trim(o.ETag, `"`)}, nil); enough {
					return nil
				}
				w.progress()
			}
			return ctx.Err()
		})
		if err != nil && !enough {
			yield(Info{}, err)
		}
	}
}

// Now is the server's clock, to the second: it stands in each answer, also in a
// refusal.
func (s *S3) Now(ctx context.Context) (time.Time, error) {
	asked := time.Now()
	err := s.try(ctx, "", s.patience, func(ctx context.Context, _ *watch) error {
		_, err := s.client.BucketExists(ctx, s.bucket)
		if _, ok := s.seen.since(asked); ok {
			return nil
		}
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	now, ok := s.seen.since(asked)
	if !ok {
		return time.Time{}, fmt.Errorf("%s: the server's answers have no date", s.endpoint)
	}
	return now, nil
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, name string, off int64) (io.ReadCloser, error) {
	o, err := s.openRange(ctx, name, off, -1, Info{Size: -1})
	if err != nil {
		return nil, err
	}
	return &skipper{&cancelled{ctx, o.body}, off - o.at}, nil
}
