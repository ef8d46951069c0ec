package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// ErrNoJob is what Find returns when every place has answered that it has no
// job. Other errors may pass: a server can be down for a while.
var ErrNoJob = errors.New("no job for this board")

// Found is a job and where it came from.
type Found struct {
	Job    *Job
	URL    string // of the job file
	Signed bool   // by a key of Trust.Keys, and it is Pinned
	By     string // who signed it: key ID and trusted comment
	Obey   bool   // without asking a person: Signed, or Trust.Network
	Why    string // why not Signed: a sentence for whoever is asked
}

// Places are the URLs where a job for the board may lie, in the order in which
// they are tried: the boot file that the DHCP server names, where it is a URL;
// then /lifeboat/ on the boot server and on the DHCP server, a file for this
// very board first.
func Places(l *Lease, b BoardFacts) []string {
	if u := l.bootURL(); u != "" {
		return []string{u}
	}
	names := append(b.Names(), strings.ReplaceAll(l.MAC, ":", "-"))
	var servers []string
	if l.NextServer != "" {
		servers = append(servers, l.NextServer)
	}
	if l.Server.IsValid() {
		servers = append(servers, l.Server.String())
	}
	var places []string
	for _, s := range servers {
		if strings.Trim(strings.ToLower(s), "0123456789abcdefghijklmnopqrstuvwxyz-.:") != "" {
			continue // not a name of a host
		}
		if strings.Contains(s, ":") && net.ParseIP(s) != nil {
			s = "[" + s + "]"
		}
		base := "http://" + s + "/lifeboat/job"
		for _, n := range names {
			places = append(places, base+"-"+n+".toml")
		}
		places = append(places, base+".toml")
	}
	return dedup(places)
}

func dedup(words []string) []string {
	var out []string
	for _, w := range words {
		if w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// Find fetches the first job there is among places, and its signature, and
// judges it. The first file that is there is the answer, also where it is for
// another board (see Job.For), damaged, or badly signed. c nil means Client.
func Find(ctx context.Context, c *http.Client, places []string, trust Trust) (*Found, error) {
	if c == nil {
		c = Client()
	}
	var failed error
	for _, place := range places {
		data, err := fetch(ctx, c, place, MaxJob)
		if errors.Is(err, errAbsent) {
			continue
		}
		if err != nil {
			failed = errors.Join(failed, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		return judge(ctx, c, place, data, trust)
	}
	if failed != nil {
		return nil, failed
	}
	return nil, fmt.Errorf("%w at %s", ErrNoJob, listOr(places, "any place: the DHCP server names no server"))
}

// judge looks for the signature beside a job.
func judge(ctx context.Context, c *http.Client, place string, data []byte, trust Trust) (*Found, error) {
	sig, err := fetch(ctx, c, sigURL(place), maxSignature)
	switch {
	case errors.Is(err, errAbsent):
		sig = nil
	case err != nil:
		return nil, fmt.Errorf("signature of the job: %w", err)
	}
	f, err := trust.Judge(data, sig)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", place, err)
	}
	f.URL = place
	return f, nil
}

// sigURL puts .minisig behind the path, before a query.
func sigURL(place string) string {
	path, query, found := strings.Cut(place, "?")
	if found {
		return path + ".minisig?" + query
	}
	return path + ".minisig"
}
