package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A faultServer serves the files of a folder, as different servers would:
//
//	/FILE           with ranges
//	/drop/FILE      each answer breaks off after two fifths of the file
//	/noranges/FILE  all of it, whatever was asked for
//	/page/FILE      a web page that says 200
//	/stall/FILE     nothing comes behind the first 4 MiB of an answer
//	/silent/FILE    not a byte comes
type faultServer struct {
	// config
	dir     string
	stalled chan struct{} // takes one when an answer has come to its stop

	// state
	mu sync.Mutex // of access.log
}

var _ http.Handler = (*faultServer)(nil)

func (s *faultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.note(r)
	fault, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok {
		fault, name = "", fault
	}
	path := filepath.Join(s.dir, filepath.Base(name))
	if fault == "tree" { // no fault, and folders in it
		path = filepath.Join(s.dir, filepath.FromSlash(name))
	}
	info, err := os.Stat(path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	switch fault {
	case "drop":
		w = &limited{ResponseWriter: w, left: info.Size() * 2 / 5, end: func() { panic(http.ErrAbortHandler) }}
	case "noranges":
		w = &rangeless{w}
		r.Header.Del("Range")
	case "page":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintln(w, "<html><body>Please sign in to the hotel's network.</body></html>")
		return
	case "stall":
		w = &limited{ResponseWriter: w, left: 4 << 20, end: func() { s.stall(r) }}
	case "silent":
		s.stall(r)
		return
	}
	http.ServeFile(w, r, path)
}

// stall waits until the client has gone.
func (s *faultServer) stall(r *http.Request) {
	s.stalled <- struct{}{}
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func (s *faultServer) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(s.dir, "access.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	fmt.Fprintf(log, "%s %s %s\n", r.Method, r.URL.Path, r.Header.Get("Range"))
}

// limited ends an answer early.
type limited struct {
	http.ResponseWriter
	left int64
	end  func() // does not return
}

func (l *limited) Write(p []byte) (int, error) {
	if int64(len(p)) < l.left {
		l.left -= int64(len(p))
		return l.ResponseWriter.Write(p)
	}
	if _, err := l.ResponseWriter.Write(p[:l.left]); err != nil {
		return 0, err
	}
	http.NewResponseController(l.ResponseWriter).Flush()
	l.end()
	return 0, nil
}

// rangeless does not say that it knows ranges.
type rangeless struct{ http.ResponseWriter }

func (r *rangeless) WriteHeader(code int) {
	r.Header().Del("Accept-Ranges")
	r.ResponseWriter.WriteHeader(code)
}
