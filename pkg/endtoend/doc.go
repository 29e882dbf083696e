// Package endtoend plays stories against cgqd and cgq as they are built: each file
// in testdata is one behaviour, its first line says which. Nothing of the programs
// is known here but what a user has: their arguments, output, files and SMTP. The
// peers are swaks, Postfix's smtp-source and smtp-sink, and for what those cannot
// say or count an SMTP client and a server of our own.
//
// A story whose tools are missing is skipped, unless CGQ_TEST_TOOLS=required is in
// the environment: then it fails.
//
// The commands of a story, beside those of testscript (! negates where it says so):
//
//	need TOOL...               skips the story where a tool is missing
//	site [DOMAIN]              makes $CGQ_BASE: domain example.org, relay $RELAY, where nobody listens yet
//	at NAME                    goes to another place, which has a site and a daemon of its own
//	set FILE KEY VALUE         changes a setting in Settings/FILE.toml; TABLE.KEY where several tables have it
//	dns FILE                   starts a DNS server with the records in FILE, at $DNS; hosts are at $NET.1 and so on
//	daemon start [UMASK]       starts cgqd, as a shell with that umask would
//	daemon start|stop          starts cgqd, which sets $SMTP and $PID; SIGTERM, which has to end with status 0
//	daemon term|ended|died     the two halves of stop; the end with another status
//	daemon kill|hangup         kill -9; SIGHUP
//	memory                     makes $CGQ_BASE a directory on tmpfs, or skips the story
//	cloexec                    checks that no child of the daemon would inherit a descriptor
//	port VAR                   sets VAR to an address where nobody listens
//	address VAR                sets VAR to an address of this machine that is not loopback, or skips the story
//	[!] until REGEXP CMD...    runs a program again and again until its output matches (matches no more)
//	status N CMD...            runs a program that has to exit with status N
//	empty                      waits until no message is in the queue and no message file left, but those of the trash
//	files N                    waits until the Queue has N message files
//	maildir ACCOUNT N          waits for the N messages of an account, which become ACCOUNT/1.eml and so on
//	report FILE                prints an RFC 3464 report, parsed
//	reported DIR FILE TO...    of the reports in DIR every token in FILE has one about each of TO, no token two
//	talk FILE                  plays an SMTP session, in which a line may have Go's escapes; prints the replies
//	[!] send FROM TO FILE      submits a file as it is; prints the last reply
//	text FILE N                writes a message of N bytes with all that is hard to transfer
//	ends FILE END              FILE ends with the bytes of the file END
//	clean FILE                 checks that there is nothing in FILE, a pattern, that a terminal obeys
//	flood start N SESSIONS [TO...]   submits N messages to x@remote.test, in the background, each with a token
//	flood acked N              waits until N are acknowledged
//	flood end FILE             waits for the sessions to end; the acknowledged tokens are then in FILE
//	peer start NAME ADDR RULE...   an SMTP server; RULE is 'REGEXP => REPLY' to commands, with Go's escapes,
//	                           'REGEXP => after DURATION REPLY', or 'REGEXP => hold'; the end of a text
//	                           is the command .
//	peer waits|go NAME         waits until a command is held; lets it and all others go on
//	peer got NAME N            waits for N messages, which become NAME/1.eml and so on, behind their envelope
//	peer heard NAME N REGEXP   N commands have matched so far, no more
//	peer has NAME FILE         every token in FILE has arrived; prints the counts
//	peer stop NAME
//	sink start ADDR FLAG...    smtp-sink
//	sink count N               waits until it counts N messages
//	sink stop
//	postfix start ADDR FILE    a Postfix of our own, in $POSTFIX, with the settings in FILE; mail to the
//	                           transport nosuchuser comes back
//	postfix empty              waits until no message is in its queue
//	postfix stop
package endtoend
