// Package smtp is the SMTP module: it receives mail by SMTP ([Receiver]) and sends
// mail to other servers ([Module]), one queue a domain. Package wire has the bytes
// of the receiving side; who may relay, which accounts exist and what a message may
// be is the Enqueuer's affair, and what is tried when, the kernel's.
//
// Not here yet: STARTTLS, AUTH, LMTP, VRFY, ETRN.
package smtp
