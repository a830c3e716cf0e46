// Package websocket serves calls that arrive on WebSockets, and sends events
// to the sockets that are open. It speaks the frames of Nameko's /ws, so that
// a client written for Nameko keeps working.
//
// A [Server] accepts sockets and gives the calls that arrive on them to a
// function; a [Hub] knows the open sockets of this process and what channels
// they subscribe to. What a method is and how its arguments are bound is left
// to the function; package web has one for the methods of a service.
//
// # Frames
//
// Every frame is a JSON object. The first one tells a client who it is:
//
//	{"type":"event","event":"connected","data":{"socket_id":"<uuid>"}}
//
// A client calls, with "data" (arguments by name) and "correlation_id" (any
// value) as it likes:
//
//	{"method":"echo","data":{"text":"hi"},"correlation_id":7}
//
// and is answered with the result, or with an error:
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
// A call that has arrived is served also when its client leaves meanwhile.
//
// # Slow clients
//
// Every socket has a queue of frames that wait to be sent. An event for a
// socket whose queue is full closes that socket at once, without a close
// frame: nobody else waits for a slow client. Results wait for room instead,
// so a client that calls and does not read stops itself.
package websocket
