package main

import (
	"path"

	"github.com/rogpeppe/go-internal/testscript"

	"lifeboat/internal/fixture"
)

// sshd: an SSH server, with the script's folder as $SFTP, and a key that it takes.
func cmdSSHD(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 0, "sshd")
	s := fixture.SSHD(tbOf(ts))
	ts.Setenv("SFTP", "sftp://"+path.Join(s.User+"@"+s.Addr, ts.MkAbs(".")))
	ts.Setenv("HOSTKEY", s.HostKey)
	ts.Setenv("LIFEBOAT_SSH_IDENTITY", s.Key)
	ts.Setenv("LIFEBOAT_SSH_KNOWN_HOSTS", s.KnownHosts)
}

// s3 BUCKET: an S3 server with an empty bucket, as $S3, and a key for it.
func cmdS3(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, args, 1, "s3 BUCKET")
	s := fixture.S3(tbOf(ts), fixture.S3Servers()[0], args[0])
	ts.Setenv("S3", "s3://"+args[0])
	ts.Setenv("AWS_ENDPOINT_URL", "http://"+s.Addr)
	ts.Setenv("AWS_ACCESS_KEY_ID", fixture.S3Key)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", fixture.S3Secret)
}
