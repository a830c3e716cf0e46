// Package embedded runs a NATS server with JetStream inside this process, so
// that a service needs no installed broker. It is an ordinary server on a
// loopback port. Other processes on the machine connect to its URL; this
// process uses InProcessConn.
//
// A client needs the password. The server makes it and keeps it, together with
// its port, in the file url of its directory, which only the user who started
// it may read. URL contains it. Connections that package nats makes by
// Config.InProcess have it too.
//
// The server keeps its files in a directory of its own, which only one process
// at a time may use. It syncs every stored message to disk before it confirms
// it, unless Options.Fast is set. The store has a limit below the free disk
// space, because a JetStream at its limit refuses messages cleanly and goes on.
// Other programs may fill the disk all the same. A JetStream on a full disk
// stores nothing more until it is started again. This package starts it again
// as soon as there is room; until then, Server.Ready returns an error.
//
// It leaves services, calls and events to package nats.
package embedded
