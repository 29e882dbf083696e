package stats

// A Kind is how the values of an element go.
type Kind uint8

// The kinds.
const (
	Level Kind = iota // goes up and down
	Total             // rises, until the server ends
)

// String is "level" or "total".
func (k Kind) String() string {
	if k == Total {
		return "total"
	}
	return "level"
}

// An About says what an element is.
type About struct {
	Name string
	Kind Kind
	Doc  string // what it counts, with its unit
}

// Catalogue says of all elements that there are what they are, sorted by name.
func Catalogue() []About {
	return []About{
		{"checkpointFails", Level, "1: the last checkpoint of the spool has failed"},
		{"dequeuerFailedReportsDropped", Total, "reports, and other messages without a return path, that could not be delivered and of which nobody has heard"},
		{"dequeuerFailedReportsMoved", Total, "those that went to failed_reports_to instead"},
		{"dequeuerReports", Total, "reports (DSN) that were submitted"},
		{"dequeuerWarnings", Total, "of them, those that say no more than that a message waits"},
		{"enqueuerIntakeClosed", Level, "1: no new mail is taken: the queue, the disk or the journal is full"},
		{"enqueuerRefusedFault", Total, "messages refused for now because of a fault of this server"},
		{"enqueuerRefusedFilters", Total, "messages that External Filters refused"},
		{"enqueuerRefusedHops", Total, "messages refused because they loop (chapter: Hop Counter Limit)"},
		{"enqueuerRefusedJournal", Total, "messages refused for now because the journal was full"},
		{"enqueuerRefusedQueueLimit", Total, "messages refused for now because of queue_limit (chapter: Queue Limit)"},
		{"enqueuerRefusedQueueReserve", Total, "messages of the server itself that found no place in queue_reserve"},
		{"enqueuerRefusedRules", Total, "messages that server-wide Rules refused"},
		{"enqueuerRefusedSpace", Total, "messages refused for now because the disk was full"},
		{"enqueuerRefusedSpamTrap", Total, "commands refused to addresses that have sent to a spam trap"},
		{"journalBytes", Total, "bytes written to the journal"},
		{"journalClosedSegments", Level, "segments of the journal that wait for a checkpoint"},
		{"journalFilledPercent", Level, "how full the journal is, in percent"},
		{"journalFrames", Total, "frames written to the journal"},
		{"journalOldestSeconds", Level, "age of the oldest message that has no file yet, in seconds"},
		{"journalSyncs", Total, "syncs of the journal"},
		{"journalWaitingSeconds", Level, "how long the last sender has waited for room in the journal, in seconds"},
		{"journalWaitingSenders", Level, "senders that wait for room in the journal"},
		{"numActRecipients", Level, "recipients of the acts that run now"},
		{"numActRecipientsDone", Level, "of them, those of whom that is done"},
		{"numBadSubmittedFiles", Total, "files of Submitted/ and foreign directories that were no messages, and are .bad now"},
		{"numDamagedFoundAtLoad", Level, "message files that the start has found damaged"},
		{"numEnqueuerMessages", Level, "messages in the Enqueuer (chapter: The Enqueuer component)"},
		{"numQueuedMessages", Level, "messages in the Queue"},
		{"numSpamTrapAddresses", Level, "addresses from which nothing is taken for a while"},
		{"numSubmittedFiles", Total, "files of Submitted/ and foreign directories that became messages"},
		{"numTrashedMessages", Level, "messages in the trash"},
		{"numUnreadMessages", Level, "message files that the start has not read yet"},
		{"smtpInputActive", Level, "SMTP sessions of others here"},
		{"smtpInputJobs", Total, "messages that came in with SMTP"},
		{"smtpInputTotal", Total, "SMTP sessions that others have opened"},
		{"smtpInputTrafficIn", Total, "bytes that came in with SMTP"},
		{"smtpOutputActive", Level, "SMTP connections to other hosts"},
		{"smtpOutputJobs", Total, "messages that went out with SMTP"},
		{"smtpOutputTotal", Total, "SMTP connections that were opened"},
		{"smtpOutputTrafficOut", Total, "bytes that went out with SMTP"},
		{"spoolFreeBytes", Level, "free bytes on the file system of the Queue"},
		{"spoolFreeInodes", Level, "free inodes on the file system of the Queue"},
		{"spoolYoungBytes", Level, "memory of texts that have no file yet, in bytes"},
	}
}

// catalogue is the Catalogue by name.
var catalogue = func() map[string]About {
	all := map[string]About{}
	for _, a := range Catalogue() {
		all[a.Name] = a
	}
	return all
}()
