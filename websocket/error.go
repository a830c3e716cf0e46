package websocket

import (
	"errors"
	"fmt"

	coder "github.com/coder/websocket"
)

// Error is an error in the form that crosses the wire: Nameko's serialized
// exception.
type Error struct {
	Type  string   `json:"exc_type"` // the name of the class
	Path  string   `json:"exc_path"` // the module and name of the class
	Args  []string `json:"exc_args"`
	Value string   `json:"value"` // the message
}

// Error returns the class and the message.
func (e *Error) Error() string {
	if e == nil {
		return "a nil *websocket.Error was returned as an error"
	}
	if e.Value == "" {
		return e.Type
	}
	return e.Type + ": " + e.Value
}

// exception returns an error of one of Nameko's own classes.
func exception(class string, args ...string) *Error {
	e := &Error{Type: class, Path: "nameko.exceptions." + class, Args: args}
	if len(args) > 0 {
		e.Value = args[0]
	}
	return e
}

// MethodNotFound returns the error of a call to an unknown method. Like
// Nameko's, it does not contain the name.
func MethodNotFound() *Error { return exception("MethodNotFound") }

func malformed() *Error { return exception("MalformedRequest", "Invalid JSON data") }

func connectionNotFound(socketID string) *Error { return exception("ConnectionNotFound", socketID) }

func unserializable(err error) *Error {
	return exception("UnserializableValueError", "Unserializable value: "+err.Error())
}

func stopping() *Error {
	return &Error{Type: "Unavailable", Path: "enoki.Unavailable", Args: []string{stoppingText}, Value: stoppingText}
}

const stoppingText = "the service is stopping, the call was not started"

// onWire returns err as a client sees it.
func onWire(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e != nil {
		return e
	}
	return &Error{Type: "Error", Path: "enoki.Error", Args: []string{err.Error()}, Value: err.Error()}
}

// Reasons for the end of a socket.
var (
	errSlow    = errors.New("the client does not read: its queue is full")
	errStuck   = errors.New("the client does not take what is sent to it: a write timed out")
	errCrowded = errors.New("websocket: as many sockets are open as may be")
	errSilent  = errors.New("the client did not answer a ping in time")
	errStopped = errors.New("websocket: the server is shut down and accepts no more sockets")
)

// Ends of a socket with a close code of their own: breaches of the protocol,
// and frames for which there is no memory.
var (
	errNoMemory = errors.New("no memory for a frame of the client: others have it")
	errNotUTF8  = errors.New("the client sent a text frame that is not UTF-8")
	errUnmasked = errors.New("the client sent a frame that is not masked")
)

// closeCode returns the close code of RFC 6455, 7.4.1, for one of these errors,
// or 0 for another error.
func closeCode(err error) coder.StatusCode {
	switch {
	case errors.Is(err, errNotUTF8):
		return coder.StatusInvalidFramePayloadData
	case errors.Is(err, errUnmasked):
		return coder.StatusProtocolError
	case errors.Is(err, errNoMemory):
		return coder.StatusTryAgainLater
	}
	return 0
}

func refusal(reason string, status int) error {
	return fmt.Errorf("websocket: request refused with status %d: %s", status, reason)
}
