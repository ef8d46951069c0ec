//go:build tools

// Package s3servers pins the S3 servers that tests are held against, in a module
// of their own: what they need shall not stand in ours.
package s3servers

import _ "github.com/versity/versitygw/cmd/versitygw"
