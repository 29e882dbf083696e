// Package powercut holds cgqd to its promises on real file systems that lose power,
// fill up and turn read-only, and when it is killed at any moment. The oracle is the
// world outside: the replies that senders got, the acts that cgq printed as done, and
// the mail that arrived.
//
// The power cuts ([recorder] has the method): cgqd runs on a file system whose disk
// records every write and flush, while senders, a relay and an administrator work.
// Whatever happens outside is noted with the place that the recording had reached.
// Then, for cuts at random places, the disk is made as it may have looked, the file
// system recovers, a cgqd starts on it, and when its queue is empty each recipient
// of a message acknowledged before the cut must have got it, before the cut or after,
// or its sender a report, or a reject that had been begun must tell where it is.
//
// Root, loop devices and FUSE are needed; what is missing is said, and skipped.
//
//	go test ./pkg/endtoend/powercut                 some cuts and kills
//	make powercut CUTS=1000                         as many as one likes
//	make kill ROUNDS=100
//
// A cut that loses something leaves the recording, and says how to see it again.
package powercut
