// Package contract reads contracts, which are structs whose fields are
// functions. A [Method] knows everything about a function that can be known
// before it is called. It encodes and decodes the bodies in Nameko's form. A
// request is {"args": [..], "kwargs": {..}}. A reply is {"result": v, "error":
// null} or {"result": null, "error": {..}}. Several results are one list.
//
// The package calls nothing and sends nothing; package enoki does. The codec of
// ordinary JSON is internal/quickjson.
package contract
