package speech

import "maps"

// german are all texts, by the English ones. A verb of fmt keeps its place.
func german() map[string]string {
	all := map[string]string{}
	for _, some := range []map[string]string{
		germanNotices(), germanSetup(),
		germanPlan(), germanSaving(), germanNotes(), germanBoards(), germanFirmware(), germanReferences(),
		germanConsent(), germanMenu(), germanRescue(),
	} {
		maps.Copy(all, some)
	}
	return all
}

// germanNotices are those of internal/nightly/event.go.
func germanNotices() map[string]string {
	return map[string]string{
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
		"Error: %s":        "Fehler: %s",
		"But: %s":          "Aber: %s",
		"Destination: %s":  "Ziel: %s",
		"Snapshot: %s, %s": "Sicherung: %s, %s",
		"Snapshot: %s, %s in use, %s added to the repository": "Sicherung: %s, %s belegt, %s kamen ins Repository",
		"Read from the disk: %s":                              "Vom Datenträger gelesen: %s",
		"Freed by pruning: %s":                                "Durch Aufräumen frei geworden: %s",
		"Read back from the repository: %d chunks":            "Aus dem Repository zurückgelesen: %d Blöcke",
		"Time: %s":                    "Dauer: %s",
		"Writers waited %d ms.":       "Schreibende Programme warteten %d ms.",
		"Old snapshots removed: %d":   "Alte Sicherungen gelöscht: %d",
		"Free at the destination: %s": "Frei am Ziel: %s",
		"A backup is as good as its last restore: it is time to try one. Then say: lifeboat nightly tested": "Eine Sicherung ist so gut wie ihre letzte Wiederherstellung: es ist Zeit, eine zu probieren. Danach: lifeboat nightly tested",
		"The log: %s": "Das Protokoll: %s",
	}
}

// germanSetup are those of cmd/lifeboat/setup*.go.
func germanSetup() map[string]string {
	return map[string]string{
		"%s stays as it is.":       "%s bleibt, wie es ist.",
		"%s will be:":              "%s wird so lauten:",
		"%s will be written.":      "%s wird geschrieben.",
		"%s will be switched off.": "%s wird abgeschaltet.",
		"Is that right?":           "Ist das richtig?",
		"That is no place for backups. A folder is given with its whole path: /mnt/nas": "Das ist kein Ort für Sicherungen. Ein Ordner wird mit seinem ganzen Pfad angegeben: /mnt/nas",
		"systemd does not understand that time.":                                        "Diese Zeit versteht systemd nicht.",
		"%s is started, and is not there yet.":                                          "%s wird gestartet und ist noch nicht dort.",
		"Yes, do it":                                                                    "Ja, so soll es sein",
		"No, leave everything as it is":                                                 "Nein, alles lassen, wie es ist",
		"Snapshots go into the repository at %s. Where there is none the first run makes it.":                               "Die Sicherungen kommen in das Repository in %s. Gibt es dort keines, legt der erste Lauf es an.",
		"Where do backups go (a folder, nfs:HOST:/PATH, smb://HOST/SHARE, UUID=…, sftp://USER@HOST/PATH, s3://BUCKET/PATH)": "Wohin soll gesichert werden (ein Ordner, nfs:HOST:/PFAD, smb://HOST/FREIGABE, UUID=…, sftp://USER@HOST/PFAD, s3://BUCKET/PFAD)",
		"When?":                 "Wann?",
		"Every night at 02:30":  "Jede Nacht um 02:30",
		"Every Sunday at 02:30": "Jeden Sonntag um 02:30",
		"At other times":        "Zu anderen Zeiten",
		"When (as systemd.time(7) has it: Mon,Thu *-*-* 23:00)": "Wann (nach systemd.time(7): Mon,Thu *-*-* 23:00)",
		"What is kept?": "Was wird aufgehoben?",
		"Of 7 days, 4 weeks and 12 months one each": "Von 7 Tagen, 4 Wochen und 12 Monaten je eine",
		"The last 7": "Die letzten 7",
		"All":        "Alle",
		"Every Sunday also an image that Raspberry Pi Imager can write (.img.gz, the last 4)?": "Jeden Sonntag auch ein Abbild, das Raspberry Pi Imager schreiben kann (.img.gz, die letzten 4)?",
		"No":                                    "Nein",
		"Yes":                                   "Ja",
		"Who is told?":                          "Wem wird es gemeldet?",
		"Nobody; the journal has it all":        "Niemandem; alles steht im Journal",
		"Somebody by mail (the local sendmail)": "Jemandem per Mail (das sendmail dieses Systems)",
		"A telephone, by ntfy":                  "Einem Telefon, über ntfy",
		"Mail address":                          "Mailadresse",
		"Address of the topic (https://ntfy.sh/…)":                    "Adresse des Themas (https://ntfy.sh/…)",
		"When is it told?":                                            "Wann wird gemeldet?",
		"When something is wrong":                                     "Wenn etwas nicht stimmt",
		"After every backup":                                          "Nach jeder Sicherung",
		"Done. Try it: sudo lifeboat nightly --dry-run --schedule=%s": "Fertig. Zur Probe: sudo lifeboat nightly --dry-run --schedule=%s",
		"There is nothing to undo.":                                   "Es gibt nichts rückgängig zu machen.",
		"%s is removed.":                                              "%s wird gelöscht.",
		"%s was changed since, and stays.":                            "%s wurde seitdem geändert und bleibt.",
		"raspiBackup makes backups here, too (%s). Switch that off?":  "Auch raspiBackup sichert hier (%s). Soll das abgeschaltet werden?",
	}
}
