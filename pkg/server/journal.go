package server

import (
	"fmt"
	"time"

	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/settings"
	"cgq/pkg/spool"
)

// Journal is how the spool keeps young messages.
type Journal struct {
	Size        settings.Size     `toml:"journal_size" doc:"bytes on the disk, written in turn, 48M to 16G, in steps of 16M"`
	Age         settings.Duration `toml:"journal_age" doc:"how long a message stays without a file of its own, 100ms to 1h"`
	Memory      settings.Size     `toml:"journal_memory" doc:"bytes of memory for the texts of messages without a file, 1M to 16G"`
	InlineLimit settings.Size     `toml:"inline_limit" doc:"larger messages get their file at once, 4K to 512K"`
	SettledSync settings.Duration `toml:"settled_sync" doc:"how soon the result of a transfer is on disk, 1ms to 10s; a transfer repeats when power fails before"`
	MinBytes    settings.Size     `toml:"minimum_free_space" doc:"with less free on the file system of the Queue no new mail is accepted, reports excepted; room for all that has no file yet comes on top; 0 to 1T"`
	MinInodes   int64             `toml:"minimum_free_inodes" doc:"likewise for inodes, 0 to 1000000000"`
	AnySystem   bool              `toml:"allow_any_file_system" doc:"starts though the Queue is on a file system that forgets what was synced, or of which that is not known, such as tmpfs, NFS, overlay: accepted mail may be lost; takes effect at the next start"`
	Durable     bool              `toml:"durable" doc:"false is for tests: nothing is ever synced, and all mail may be lost when power fails; takes effect at the next start"`
}

const segment = 16 * settings.MiB

// Validate names the first key that cannot be used.
func (j *Journal) Validate() error {
	switch {
	case j.Size < 3*segment || j.Size > 16*settings.GiB || j.Size%segment != 0:
		return fmt.Errorf("journal_size: %s is not in 48M to 16G in steps of 16M", j.Size)
	case j.Age.D() < 100*time.Millisecond || j.Age.D() > time.Hour:
		return fmt.Errorf("journal_age: %s is not between 100ms and 1h", j.Age)
	case j.Memory < settings.MiB || j.Memory > 16*settings.GiB:
		return fmt.Errorf("journal_memory: %s is not between 1M and 16G", j.Memory)
	case j.InlineLimit < 4*settings.KiB || j.InlineLimit > 512*settings.KiB:
		return fmt.Errorf("inline_limit: %s is not between 4K and 512K", j.InlineLimit)
	case j.SettledSync.D() < time.Millisecond || j.SettledSync.D() > 10*time.Second:
		return fmt.Errorf("settled_sync: %s is not between 1ms and 10s", j.SettledSync)
	case j.MinBytes < 0 || j.MinBytes > settings.TiB:
		return fmt.Errorf("minimum_free_space: %s is not between 0 and 1T", j.MinBytes)
	case j.MinInodes < 0 || j.MinInodes > 1_000_000_000:
		return fmt.Errorf("minimum_free_inodes: %d is not between 0 and 1000000000", j.MinInodes)
	}
	return nil
}

func journalDefaults() Journal {
	return Journal{
		Size: 16 * segment, Age: settings.Duration(2 * time.Second), Memory: 256 * settings.MiB, InlineLimit: 256 * settings.KiB,
		SettledSync: settings.Duration(kernel.DefaultSettledSync), MinBytes: 64 * settings.MiB, MinInodes: 1000, Durable: true}
}

// options are those of the spool; it is told of new ones by Tune, the journal's own
// excepted.
func (j *Journal) options() spool.Options {
	return spool.Options{Journal: journal.Options{SegmentSize: int64(segment), Segments: int(j.Size / segment)},
		Age: j.Age.D(), Memory: int64(j.Memory), InlineLimit: int(j.InlineLimit),
		MinBytes: int64(j.MinBytes), MinInodes: j.MinInodes}
}

// later names what takes effect at the next start only.
func (j *Journal) later(old *Journal) (all []string) {
	if j.AnySystem != old.AnySystem {
		all = append(all, "allow_any_file_system")
	}
	if j.Durable != old.Durable {
		all = append(all, "durable")
	}
	return all
}
