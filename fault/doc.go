// Package fault describes failures in a form that crosses the wire. An error
// has a [Code]. One table turns the code into an HTTP status, an exit code and
// a Python class. An error also keeps Nameko's serialized exception.
//
// Services use package enoki, which has Code, Error and the codes under its own
// name. This package is for everything else: for declaring error types with a
// [Type], and for entrypoints that reply in another protocol.
//
// It knows no broker's protocol and writes no log. Package internal/contract
// puts an exception into a reply.
package fault
