// Package nightly answers: what is to be done around an online backup? Its
// configuration, services and hooks, where the backup goes, what is kept, who
// is told, and the timer that starts it all. docs/NIGHTLY.md tells it as prose.
//
// It makes no backups: whoever runs it hands in a function that does.
package nightly
