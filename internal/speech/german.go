package speech

// german are all texts, by the English ones. A verb of fmt keeps its place.
func german() map[string]string {
	return map[string]string{
		// notices: internal/nightly/event.go
		"%s: backup %q begins":                                      "%s: Sicherung %q beginnt",
		"%s: backup %q is done":                                     "%s: Sicherung %q ist fertig",
		"%s: backup %q is done, with reservations":                  "%s: Sicherung %q ist fertig, mit Vorbehalten",
		"%s: backup %q FAILED":                                      "%s: Sicherung %q ist GESCHEITERT",
		"%s: backup %q ended without a word":                        "%s: Sicherung %q hat wortlos geendet",
		"%s: there is no new backup %q":                             "%s: es gibt keine neue Sicherung %q",
		"%s: a test notice of lifeboat":                             "%s: eine Probemeldung von lifeboat",
		"This was a dry run: all was checked, nothing was changed.": "Das war ein Probelauf: alles wurde geprüft, nichts geändert.",
		"If you can read this, notices arrive.":                     "Wenn Sie das lesen, kommen Meldungen an.",
		"It was killed, or the power failed. Services that it had stopped were started again.": "Sie wurde abgebrochen, oder der Strom fiel aus. Dienste, die sie angehalten hatte, wurden wieder gestartet.",
		"Error: %s":                   "Fehler: %s",
		"But: %s":                     "Aber: %s",
		"Destination: %s":             "Ziel: %s",
		"Snapshot: %s, %s":            "Sicherung: %s, %s",
		"Time: %s":                    "Dauer: %s",
		"Writers waited %d ms.":       "Schreibende Programme warteten %d ms.",
		"Old snapshots removed: %d":   "Alte Sicherungen gelöscht: %d",
		"Free at the destination: %s": "Frei am Ziel: %s",
		"A backup is as good as its last restore: it is time to try one. Then say: lifeboat nightly tested": "Eine Sicherung ist so gut wie ihre letzte Wiederherstellung: es ist Zeit, eine zu probieren. Danach: lifeboat nightly tested",
		"The log: %s": "Das Protokoll: %s",
	}
}
