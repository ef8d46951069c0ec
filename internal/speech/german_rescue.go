package speech

// germanConsent ask a person before something is lost.
func germanConsent() map[string]string {
	return map[string]string{
		"%s Type %s to go on":            "%s Zum Fortfahren %s eingeben",
		"All of %s will be lost.":        "Der gesamte Inhalt von %s geht verloren.",
		"All of %s but %s will be lost.": "Der Inhalt von %s geht bis auf %s verloren.",
		"The partition table of %s will be changed, and a file system grows.": "Die Partitionstabelle von %s wird geändert und ein Dateisystem vergrößert.",
		"These lines of %s will be changed.":                                  "Diese Zeilen auf %s werden geändert.",
		"%q is none of them":                                                  "%q steht nicht zur Wahl",
	}
}

// germanMenu are those of the menu of the rescue system: cmd/lifeboat/rescue_menu.go.
func germanMenu() map[string]string {
	return map[string]string{
		"What shall be done?":              "Was soll geschehen?",
		"Restore a backup to a disk":       "Eine Sicherung auf einen Datenträger zurückspielen",
		"Clone a disk to another":          "Einen Datenträger auf einen anderen kopieren",
		"Save a disk to a backup":          "Einen Datenträger sichern",
		"Check a disk or a backup":         "Einen Datenträger oder eine Sicherung prüfen",
		"Shell":                            "Shell",
		"Reboot":                           "Neu starten",
		"Power off":                        "Ausschalten",
		"Back":                             "Zurück",
		"Which disk is to be overwritten?": "Welcher Datenträger soll überschrieben werden?",
		"Which disk is to be copied?":      "Welcher Datenträger soll kopiert werden?",
		"Which disk is to be saved?":       "Welcher Datenträger soll gesichert werden?",
		"Which disk?":                      "Welcher Datenträger?",
		"Which backup?":                    "Welche Sicherung?",
		"Shall the copy have an identity of its own?":           "Soll die Kopie eine eigene Identität bekommen?",
		"Yes: both disks will be plugged in at once":            "Ja: beide Datenträger werden zugleich angesteckt sein",
		"No: it replaces the first one":                         "Nein: sie ersetzt den ersten",
		"Name of the backup [card.img.zst]":                     "Name der Sicherung [card.img.zst]",
		"Save to which part?":                                   "Auf welche Partition sichern?",
		"Check what?":                                           "Was soll geprüft werden?",
		"A disk: would it boot?":                                "Ein Datenträger: würde er starten?",
		"A backup: is it whole?":                                "Eine Sicherung: ist sie vollständig?",
		"From the network: type an address":                     "Aus dem Netz: eine Adresse eingeben",
		"Address of the backup (http://, https://, sftp://)":    "Adresse der Sicherung (http://, https://, sftp://)",
		"%s, holds %s":                                          "%s, Inhalt: %s",
		"%s on %s":                                              "%s auf %s",
		"ctrl-C stops it.":                                      "Strg-C bricht ab.",
		"help lists the commands, exit leads back to the menu.": "help zeigt die Befehle, exit führt zurück zum Menü.",
	}
}

// germanRescue are what the rescue system says besides: cmd/lifeboat/rescue*.go and initramfs/uinit.
func germanRescue() map[string]string {
	return map[string]string{
		"lifeboat rescue %s, built %s":                                     "lifeboat-Rettungssystem %s, erstellt %s",
		"this board: %s, serial %s":                                        "dieses Board: %s, Seriennummer %s",
		"%sThis medium obeys every job from the network, signed or not.%s": "%sDieses Medium führt jeden Auftrag aus dem Netz aus, signiert oder nicht.%s",
		"disk %s":                   "Datenträger %s",
		"gone: %s":                  "entfernt: %s",
		"new: %s":                   "neu: %s",
		"Press Enter for the menu.": "Die Eingabetaste öffnet das Menü.",
		"Trying again in %s; press Enter for the menu.": "Neuer Versuch in %s; die Eingabetaste öffnet das Menü.",
		"job %s from %s":                                "Auftrag %s von %s",
		"job %s on the stick (%s)":                      "Auftrag %s auf dem Stick (%s)",
		"job %s: %s → %s in %s; press Enter to stop it": "Auftrag %s: %s → %s in %s; die Eingabetaste hält ihn an",
		"job %s is done.":                               "Auftrag %s ist erledigt.",
		"lifeboat's shell: help lists its commands, exit or ctrl-D leaves it.":                                                                          "Die Shell von lifeboat: help zeigt ihre Befehle, exit oder Strg-D verlässt sie.",
		"Press Enter on the console where you want a shell, r to restart the machine, p to switch it off;\nwithout a key lifeboat goes on in a minute.": "Drücken Sie die Eingabetaste an der Konsole, an der Sie eine Shell wollen, r für einen Neustart, p zum Ausschalten;\nohne Tastendruck macht lifeboat in einer Minute weiter.",
		"The rescue program %s.":       "Das Rettungsprogramm %s.",
		"was killed by signal %d (%v)": "wurde durch das Signal %d (%v) beendet",
		"ended with exit code %d":      "endete mit dem Exit-Code %d",
		"Its last words:":              "Seine letzten Worte:",
		"Press s for a shell, r to restart the machine, p to switch it off, Enter to start the program again;\nwithout a key it is started again in %v.": "Drücken Sie s für eine Shell, r für einen Neustart, p zum Ausschalten, die Eingabetaste, um das Programm neu zu starten;\nohne Tastendruck startet es in %v von selbst wieder.",
	}
}
