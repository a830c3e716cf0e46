// Package fault says what went wrong, in a form that crosses the wire: an error
// has a [Code], which one table makes an HTTP status, an exit code and a Python
// class, and it keeps Nameko's serialized exception beside it.
//
// Services use it by package enoki, which has Code, Error and the codes under
// its own name. This package is for the rest: declaring errors of one's own
// with a [Type], and entrypoints that answer in another protocol.
//
// It knows no broker's protocol and writes no log. How an exception stands in a
// reply is for internal/contract.
package fault
