// Package netboot answers: what should this board do, and who tells it? It
// brings the wired network up, finds the job that a server holds for the board,
// and judges whether that job may be obeyed without asking a person. A job file
// on the rescue medium itself is read by the same parser.
//
// It chooses a target among candidates by rule, as data; it opens no disk,
// fetches no image, and carries no job out.
package netboot

// logger tells progress to whoever wants it; nil tells nobody.
type logger func(format string, args ...any)

func (l logger) logf(format string, args ...any) {
	if l != nil {
		l(format, args...)
	}
}
