package main

import (
	"fmt"

	"lifeboat/internal/fixture"
)

// memory is about what each takes of it for a disk of 64 GB that holds 1 GiB, once:
// no buffer may grow with the disk. What it takes depends on the count of CPUs.
func (b *bench) memory() {
	fixture.Need(b, "restic", "sfdisk")
	rounds := b.rounds
	b.rounds = 1
	b.makeTree(1 << 10)
	const size, start = 64_000_000_000, 4 << 20
	b.run(fmt.Sprintf("truncate -s %d big.img && printf '%dM,,83\n' | sfdisk -q big.img && mke2fs -q -t ext4 -d tree -E offset=%d big.img %d",
		size, start>>20, start, (size-start)/4096))
	b.Setenv("RESTIC_PASSWORD", "bench")
	b.run(b.lifeboat("repo init big") + " && restic -q init --repo big.restic")
	b.compare("a disk of 64 GB into a repository", contender{
		name: "lifeboat backup --no-verify", line: b.lifeboat("backup --no-verify big.img big"),
	}, contender{name: "restic backup", line: "restic -q backup --repo big.restic tree && sync"})
	b.compare("a disk of 64 GB to .img.zst", contender{
		name: "lifeboat backup --no-verify", line: b.lifeboat("backup --no-verify big.img big.img.zst"), out: "big.img.zst",
	}, contender{name: "zstd -T0", line: "zstd -q -T0 big.img -o big.zst && sync big.zst", out: "big.zst"})
	b.compare("a disk of 64 GB from .img.zst", contender{
		name: "lifeboat restore --no-verify", before: fmt.Sprintf("truncate -s %d disk.img", size), line: b.lifeboat("restore --no-verify big.img.zst disk.img"),
	}, contender{
		name: "zstd -dc, dd conv=sparse,fsync", before: "rm -f disk.img",
		line: "zstd -q -dc big.img.zst | dd of=disk.img bs=4M iflag=fullblock conv=sparse,fsync status=none",
	})
	b.run("rm -rf tree big big.* disk.img")
	b.rounds = rounds
}
