// Package websocket serves calls that arrive on WebSockets, and sends events to
// the open sockets. It speaks the frames of Nameko's /ws, so that a client
// written for Nameko keeps working.
//
// A [Server] accepts sockets and passes their calls to a function. A [Hub]
// knows the open sockets of this process and the channels that they subscribe
// to. The function decides what a method is and how its arguments are bound;
// package web has one for the methods of a service.
//
// # Frames
//
// Every frame is a JSON object. The first one tells a client its socket id:
//
//	{"type":"event","event":"connected","data":{"socket_id":"<uuid>"}}
//
// A client calls a method. "data" (arguments by name) and "correlation_id" (any
// value) are optional:
//
//	{"method":"echo","data":{"text":"hi"},"correlation_id":7}
//
// It gets the result, or an error:
//
//	{"type":"result","success":true,"data":"hi","correlation_id":7}
//	{"type":"result","success":false,"error":{"exc_type":"MethodNotFound",
//	 "exc_path":"nameko.exceptions.MethodNotFound","exc_args":[],"value":""},"correlation_id":7}
//
// Events come at any time:
//
//	{"type":"event","event":"news","data":{"k":1}}
//
// # Order
//
// The calls of one socket are served one after another, in the order in which
// they arrived. What a call sends to its own socket arrives before its result.
// A call that has arrived is served even if its client leaves meanwhile.
//
// # Slow clients
//
// Every socket has a queue of frames that wait to be sent. If an event finds
// the queue full, the socket is closed at once, without a close frame, so that
// nobody else waits for a slow client. A result waits for room instead. A
// client that calls but does not read therefore only stops itself.
package websocket
