module lifeboat

go 1.26.0

require (
	aead.dev/minisign v0.3.0 // signed jobs and snapshots: whole and small, makes keys too
	filippo.io/age v1.3.2 // wraps the key of an encrypted repository: a standard format
	github.com/BurntSushi/toml v1.6.0 // jobs: strict about unknown keys (Undecoded)
	github.com/coreos/go-systemd/v22 v22.7.0 // services around a nightly run, over D-Bus
	github.com/diskfs/go-diskfs v1.9.4 // GPT tables, and only those: docs/FORMAT.md
	github.com/google/renameio/v2 v2.0.2 // files that appear whole
	github.com/hanwen/go-fuse/v2 v2.11.0 // the full-size device that resize2fs works on when a part becomes smaller; 2.12 does not build for 32-bit ARM (splice)
	github.com/insomniacslk/dhcp v0.0.0-20260901064844-234b97448fae // the rescue system's address and boot file
	github.com/klauspost/compress v1.20.3 // zstd; gzip that decodes faster than the standard library's
	github.com/klauspost/pgzip v1.3.0 // .img.gz on all cores
	github.com/manifoldco/promptui v0.9.0 // menus where the terminal can move its cursor
	github.com/minio/minio-go/v7 v7.4.1 // S3: signatures, multipart, and the ways of the many servers
	github.com/pkg/sftp v1.13.12 // files of machines that one logs in to
	github.com/rogpeppe/go-internal v1.16.0 // testscript: the tool as its users meet it
	github.com/spf13/cobra v1.10.2 // commands, help, completions, manual pages
	github.com/spf13/pflag v1.0.10 // cobra's flags, of which each key of the configuration is one
	github.com/therootcompany/xz v1.0.1 // .xz images; the faster of the Go decoders
	github.com/u-root/u-root v0.16.0 // the rescue system: modules, cpio, mounts, its shell's commands
	github.com/vishvananda/netlink v1.3.1 // links, addresses and routes of the rescue system
	github.com/wneessen/go-mail v0.8.1 // notices by mail: SMTP with its ways to encrypt and log in
	golang.org/x/crypto v0.57.0 // SSH below SFTP; XChaCha20-Poly1305 of encrypted repositories: fast on boards without AES
	golang.org/x/crypto/x509roots/fallback v0.0.0-20261030153154-30a33513ff6d // CA roots for the rescue system, which has no folder of them
	golang.org/x/sync v0.23.0 // errgroup: pipelines with a limit
	golang.org/x/sys v0.48.0 // system calls that package syscall lacks
	golang.org/x/term v0.46.0 // is it a terminal, how wide, raw mode
	mvdan.cc/sh/v3 v3.11.0 // the rescue system's shell
)

require (
	filippo.io/hpke v0.4.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/chzyer/readline v0.0.0-20180603132655-2972be24d48e // indirect
	github.com/cpuguy83/go-md2man/v2 v2.0.6 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/godbus/dbus/v5 v5.1.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/josharian/native v1.1.0 // indirect
	github.com/klauspost/cpuid/v2 v2.4.0 // indirect
	github.com/klauspost/crc32 v1.3.0 // indirect
	github.com/kr/fs v0.1.0 // indirect
	github.com/mdlayher/packet v1.1.2 // indirect
	github.com/mdlayher/socket v0.5.1 // indirect
	github.com/minio/crc64nvme v1.1.1 // indirect
	github.com/minio/md5-simd v1.1.2 // indirect
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/pierrec/lz4/v4 v4.1.26 // indirect
	github.com/rs/xid v1.6.0 // indirect
	github.com/russross/blackfriday/v2 v2.1.0 // indirect
	github.com/tinylib/msgp v1.6.4 // indirect
	github.com/u-root/uio v0.0.0-20240224005618-d2acac8f3701 // indirect
	github.com/ulikunitz/xz v0.5.15 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	github.com/zeebo/xxh3 v1.1.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	golang.org/x/tools v0.50.0 // indirect
	gopkg.in/ini.v1 v1.67.3 // indirect
)
