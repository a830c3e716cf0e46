// Package embedded runs a NATS server with JetStream inside this process, so
// that a service needs nothing installed. It is an ordinary server on a
// loopback port: other processes on the machine connect to its URL, this
// process by InProcessConn.
//
// It lets in who knows the password, which the server makes and keeps, with its
// port, in the file url of its directory: only the user who started it may read
// that. URL has it, and so have connections that package nats makes by
// Config.InProcess.
//
// The server keeps its files in a directory of its own, which one process at a
// time may use. Every stored message is synced to disk before it is confirmed,
// unless Options.Fast is set. The size of the store is limited below the free
// disk space, because a JetStream that meets its limit refuses cleanly and goes
// on. One that meets a full disk all the same, because others have filled it,
// stores nothing more until it is started again: that is done here, as soon as
// there is room; until then Server.Ready says so.
package embedded
