package speech

// germanPlan are the words of a plan: clone/print.go, grow.go and fixboot.go.
func germanPlan() map[string]string {
	return map[string]string{
		"source":                            "Quelle",
		"target":                            "Ziel",
		"disk":                              "Datenträger",
		"part %d":                           "Partition %d",
		"steps":                             "Schritte",
		"note":                              "Hinweis",
		"new %s":                            "neue %s",
		"new disk ID":                       "neue ID",
		"wrong":                             "falsch",
		"change":                            "Änderung",
		"left":                              "bleibt",
		"boot":                              "Start",
		"nothing to do":                     "nichts zu tun",
		"to go on":                          "weiter mit",
		"give --yes=%s":                     "--yes=%s",
		"no partition table":                "keine Partitionstabelle",
		"%s, disk ID %s":                    "%s, Datenträger-ID %s",
		"blank":                             "leer",
		"data without a table":              "Daten ohne Partitionstabelle",
		"file; what it holds will be lost":  "Datei; ihr Inhalt geht verloren",
		"file; all but %s will be lost":     "Datei; ihr Inhalt geht bis auf %s verloren",
		"holds %s: all of it will be lost":  "enthält %s: alles davon geht verloren",
		"holds %s: all but %s will be lost": "enthält %s: alles außer %s geht verloren",
		"not known yet":                     "noch nicht bekannt",
		"%s, stays as it is on the target":  "%s, bleibt auf dem Ziel, wie sie ist",
		"%s, left empty":                    "%s, bleibt leer",
		"made anew":                         "wird neu angelegt",
		"%s in use":                         "%s belegt",
		"wipe":                              "löschen",
		"copy":                              "kopieren",
		"copy %s":                           "%s kopieren",
		"shrink":                            "verkleinern",
		"swap":                              "Swap anlegen",
		"verify":                            "vergleichen",
		"check":                             "prüfen",
		"resize":                            "vergrößern",
		"identity":                          "IDs anpassen",
		"boot area":                         "Boot-Bereich schreiben",
		"table":                             "Tabelle schreiben",
		"swap, made anew behind it":         "Swap, wird dahinter neu angelegt",
		"table, resize while it is mounted on %s":     "Tabelle schreiben, vergrößern, während sie unter %s eingehängt ist",
		"each reference leads to a part of this disk": "jeder Verweis führt zu einer Partition dieses Datenträgers",
	}
}

// germanSaving are the words of plans that write files: backup and convert.
func germanSaving() map[string]string {
	return map[string]string{
		"%s in use of %s":          "%s belegt von %s",
		"boot area %s: %s, to %s":  "Boot-Bereich %s: %s, nach %s",
		"not known before its end": "erst am Ende bekannt",
		"what is in use":           "was belegt ist",
		"all of it":                "alles",
		"unpacked beside it first": "zuerst daneben entpackt",
	}
}

// germanNotes are what a person should know of a plan, from all over clone.
func germanNotes() map[string]string {
	return map[string]string{
		"part %d: all bytes are copied: %s":                                        "Partition %d: alle Bytes werden kopiert: %s",
		"part %d is not known before it is read: if it is ext2, ext3 or ext4, %s":  "was Partition %d enthält, zeigt sich erst beim Lesen: ist es ext2, ext3 oder ext4, %s",
		"it is checked, and grows":                                                 "wird das Dateisystem geprüft und vergrößert",
		"it is checked":                                                            "wird das Dateisystem geprüft",
		"part %d was not cleanly unmounted: its journal is replayed on the target": "Partition %d wurde nicht sauber ausgehängt: ihr Journal wird auf dem Ziel nachgespielt",
		"names of parts by place, as /dev/mmcblk0p2, become those of %s":           "Namen von Partitionen nach ihrem Platz, etwa /dev/mmcblk0p2, werden zu denen von %s",
		"the UUID stays in %s: do not mount both disks at once":                    "die UUID bleibt dieselbe in %s: hängen Sie nicht beide Datenträger zugleich ein",
		"part %d (%s)": "Partition %d (%s)",
		"part %d becomes smaller: its content needs %s": "Partition %d wird kleiner: ihr Inhalt braucht %s",
		"part %d becomes smaller: its content needs %s; the source is read once, so that this is known by a rule, and exactly only near the end": "Partition %d wird kleiner: ihr Inhalt braucht %s; die Quelle wird nur einmal gelesen, daher ist das nach einer Regel berechnet und erst gegen Ende genau bekannt",
		"part %d was not tried beforehand (%v): that it fits is known by a rule, and exactly only when it is done":                               "Partition %d wurde nicht vorab erprobt (%v): dass sie passt, ist nach einer Regel berechnet und erst am Ende genau bekannt",
		"nothing is written to part %d, and its content does not stay: %s":                                                                       "Partition %d wird nicht beschrieben, und ihr Inhalt bleibt nicht erhalten: %s",
		"the target has no partition table, and no file system that fits begins at byte %d":                                                      "das Ziel hat keine Partitionstabelle, und bei Byte %d beginnt kein Dateisystem, das passt",
		"the target has no part %d":                                                      "das Ziel hat keine Partition %d",
		"the target's partition table is of another kind (%s)":                           "die Partitionstabelle des Ziels ist von anderer Art (%s)",
		"on the target it is at bytes %d to %d, and would be at %d to %d":                "auf dem Ziel liegt sie bei Byte %d bis %d und läge dann bei %d bis %d",
		"on the target it is of type %s, and would be of %s":                             "auf dem Ziel ist sie vom Typ %s und wäre dann vom Typ %s",
		"part %d of the target is not in the source: it will be lost":                    "Partition %d des Ziels gibt es in der Quelle nicht: sie geht verloren",
		"the disk has an MBR, which ends at 2³² sectors: the last %d bytes stay unused":  "der Datenträger hat einen MBR, der nur 2³² Sektoren kennt: die letzten %d Bytes bleiben ungenutzt",
		"a hybrid MBR stands beside the GPT; the GPT counts":                             "neben der GPT steht ein hybrider MBR; es gilt die GPT",
		"the GPT at byte %d is broken (%v): its backup at the end of the disk was taken": "die GPT bei Byte %d ist beschädigt (%v): ihre Kopie am Ende des Datenträgers wurde genommen",
		"the backup of the GPT at byte %d is broken or missing: %v":                      "die Kopie der GPT bei Byte %d ist beschädigt oder fehlt: %v",
		"the GPT is for a disk of %d bytes, the disk has %d":                             "die GPT ist für einen Datenträger von %d Bytes, dieser hat %d",
		"its partition table cannot be read (%s): the disk counts as one part":           "die Partitionstabelle ist nicht lesbar (%s): der Datenträger zählt als eine Partition",
		"its partition table has no parts: the disk counts as one part":                  "die Partitionstabelle hat keine Partitionen: der Datenträger zählt als eine",
		"bytes %d to %d":                    "Byte %d bis %d",
		"bytes %d to %d and %d more places": "Byte %d bis %d und %d weitere Stellen",
		"%d bytes of the disk could not be read, and are zeros (%s)": "%d Bytes des Datenträgers waren nicht lesbar und sind Nullen (%s)",
		"the disk":                                     "der Datenträger",
		"outside of parts":                             "außerhalb der Partitionen",
		"the last part does not grow: %s":              "die letzte Partition wächst nicht: %s",
		"there is no part":                             "es gibt keine Partition",
		"there is no such part":                        "diese Partition gibt es nicht",
		"part %d: %s":                                  "Partition %d: %s",
		"part %d holds no file system that is known":   "Partition %d enthält kein bekanntes Dateisystem",
		"part %d holds %s, which lifeboat cannot grow": "Partition %d enthält %s, was lifeboat nicht vergrößern kann",
		"part %d and its file system reach to the end of the disk": "Partition %d und ihr Dateisystem reichen bis ans Ende des Datenträgers",
		"the file system reaches to the end of the disk":           "das Dateisystem reicht bis ans Ende des Datenträgers",
	}
}

// germanBoards are notes about boot loaders, and about two disks that are one system.
func germanBoards() map[string]string {
	return map[string]string{
		"the boot area %s (%s) is not written: only some parts are wanted":                                                  "der Boot-Bereich %s (%s) wird nicht geschrieben: nur einzelne Partitionen sind gewünscht",
		"the boot area %s (%s) is not restored: %s has none, and a board whose boot loader is there does not start from it": "der Boot-Bereich %s (%s) wird nicht wiederhergestellt: %s hat keinen, und ein Board, dessen Bootloader dort liegt, startet davon nicht",
		"the boot area %s (%s) is not restored: that of %s has %s only":                                                     "der Boot-Bereich %s (%s) wird nicht wiederhergestellt: der von %s hat nur %s",
		"the boot areas of %s stay as they are: the source has none that hold anything":                                     "die Boot-Bereiche von %s bleiben, wie sie sind: die Quelle hat keine mit Inhalt",
		"the boot area %s that belongs to %s cannot be had: %v":                                                             "der Boot-Bereich %s, der zu %s gehört, ist nicht zu bekommen: %v",
		"a %s would not boot it: %s":                                                                             "auf einem %s würde es nicht starten: %s",
		"a %s would not boot it: there is no FAT part for its firmware":                                          "auf einem %s würde es nicht starten: es gibt keine FAT-Partition für die Firmware",
		"a %s would not boot it: at byte %d, where its boot loader (%s) should lie, is nothing":                  "auf einem %s würde es nicht starten: bei Byte %d, wo der Bootloader (%s) liegen müsste, ist nichts",
		"there is neither an extlinux.conf nor a boot script":                                                    "es gibt weder eine extlinux.conf noch ein Startskript",
		"the boot areas of the second disk, an eMMC, are not taken: the first one boots":                         "die Boot-Bereiche des zweiten Datenträgers, einer eMMC, werden nicht übernommen: gestartet wird vom ersten",
		"the second disk has no partition table: what names all of it, as /dev/sda, does not find part %d":       "der zweite Datenträger hat keine Partitionstabelle: was ihn als Ganzes nennt, etwa /dev/sda, findet Partition %d nicht",
		"part %d has the UUID of part %d, %s, and gets a new one: what names it by that UUID means part %d then": "Partition %d hat die UUID von Partition %d, %s, und bekommt eine neue: was sie mit dieser UUID nennt, meint dann Partition %d",
		"part %d and part %d both have the UUID %s: give one of them another before you mount them":              "Partition %d und Partition %d haben beide die UUID %s: geben Sie einer von ihnen eine andere, bevor Sie sie einhängen",
		"part %d loses its name %q, which an MBR cannot hold: PARTLABEL= does not find it":                       "Partition %d verliert ihren Namen %q, für den ein MBR keinen Platz hat: PARTLABEL= findet sie nicht",
		"both disks have a file system with the label %q: what names it so could mean either":                    "beide Datenträger haben ein Dateisystem mit dem Label %q: was es so nennt, kann jedes von beiden meinen",
		"part %d of %s":                               "Partition %d von %s",
		"part %d is %s":                               "Partition %d ist %s",
		"the other disk of its system":                "der andere Datenträger dieses Systems",
		"the disk that boots its system":              "der Datenträger, von dem dieses System startet",
		"what belongs to it, %s, cannot be read: %v":  "was dazugehört, %s, ist nicht lesbar: %v",
		"what lies on the other disk of its system":   "das, was auf dem anderen Datenträger dieses Systems liegt",
		"it is half of a backup, without %s (%s): %v": "es ist eine halbe Sicherung, es fehlt %s (%s): %v",
		"it was saved together with %s, %s: --with=%s makes one disk of both, with --second=DISK2 they become two again": "gesichert wurde es zusammen mit %s (%s): --with=%s macht aus beiden einen Datenträger, mit --second=DISK2 werden es wieder zwei",
	}
}

// germanFirmware are those of boards: what a board would not load.
func germanFirmware() map[string]string {
	return map[string]string{
		"a %s would not boot: %s":                                              "ein %s würde nicht starten: %s",
		"label %s of %s would not boot: %s":                                    "das Label %s in %s würde nicht starten: %s",
		"it needs %s, which is not there":                                      "es braucht %s, und das fehlt",
		"%s is packed with %s; the firmware takes a plain kernel or gzip":      "%s ist mit %s gepackt; die Firmware nimmt nur einen ungepackten Kernel oder gzip",
		"%s is packed with gzip, which the firmware takes in 64-bit mode only": "%s ist mit gzip gepackt, was die Firmware nur im 64-Bit-Modus nimmt",
		"%s is a %d-bit kernel, which its CPU does not run":                    "%s ist ein %d-Bit-Kernel, den die CPU nicht ausführen kann",
		"%s is a 64-bit kernel, and arm_64bit=1 is missing":                    "%s ist ein 64-Bit-Kernel, und arm_64bit=1 fehlt",
		"%s is a 32-bit kernel, and arm_64bit=0 is missing":                    "%s ist ein 32-Bit-Kernel, und arm_64bit=0 fehlt",
		"%s is no device tree":                                                 "%s ist kein Device Tree",
		"the %s %s is not there":                                               "%s %s fehlt",
		"kernel":                                                               "Kernel",
		"device tree":                                                          "Device Tree",
		"the folder of device trees %s is not there":                           "der Ordner mit den Device Trees %s fehlt",
	}
}

// germanReferences are those of clone/identity: what the boot files name.
func germanReferences() map[string]string {
	return map[string]string{
		"%s part: %s line %d":                                                      "%s-Partition: %s Zeile %d",
		"%s: %s: %s is part %d":                                                    "%s: %s: %s ist Partition %d",
		"%s: %s: %s is part %d of the other disk":                                  "%s: %s: %s ist Partition %d des anderen Datenträgers",
		"%s: %s: %s is part %d, which holds %s%s":                                  "%s: %s: %s ist Partition %d, und die enthält %s%s",
		"%s: %s: %s is the extended part %d, which holds parts and no files%s":     "%s: %s: %s ist die erweiterte Partition %d, die Partitionen enthält und keine Dateien%s",
		"%s: %s: %s is not on this disk%s":                                         "%s: %s: %s gibt es auf diesem Datenträger nicht%s",
		"%s: %s: %s is not on this disk%s%s":                                       "%s: %s: %s gibt es auf diesem Datenträger nicht%s%s",
		"%s: %s%s: not a part, or not a name that can be resolved here":            "%s: %s%s: keine Partition oder ein Name, der sich hier nicht auflösen lässt",
		" (the boot goes on without it)":                                           " (das System startet auch ohne)",
		"nothing that is known":                                                    "nichts Bekanntes",
		"; part %d (%s) is %s":                                                     "; Partition %d (%s) ist %s",
		"no part of this disk could be looked into: whether it boots is not known": "in keine Partition dieses Datenträgers konnte hineingesehen werden: ob er startet, ist nicht bekannt",
		"there is no cmdline.txt, extlinux.conf, armbianEnv.txt, uEnv.txt or boot.ini: nothing tells the kernel where its root is": "es gibt weder cmdline.txt noch extlinux.conf, armbianEnv.txt, uEnv.txt oder boot.ini: nichts sagt dem Kernel, wo seine Wurzel ist",
		"no root= in any of the boot files: nothing tells the kernel where its root is":                                            "in keiner der Startdateien steht root=: nichts sagt dem Kernel, wo seine Wurzel ist",
		"%s, unless the boot script does": "%s, es sei denn, das Startskript tut es",
		"%s: it is not changed: %s":       "%s: das wird nicht geändert: %s",
		"part %d was not cleanly unmounted: run e2fsck on it, or boot another system with it once": "Partition %d wurde nicht sauber ausgehängt: lassen Sie e2fsck darüber laufen, oder starten Sie einmal ein anderes System damit",
	}
}
