// Package contract reads contracts: structs whose fields are functions. A
// [Method] knows all about one of them that can be known before it is called,
// and encodes and decodes its bodies in Nameko's form: a request is
// {"args": [..], "kwargs": {..}}, a reply is {"result": v, "error": null} or
// {"result": null, "error": {..}}. Several results are one list.
//
// It calls nothing and sends nothing: package enoki does. The codec of ordinary
// JSON is internal/quickjson.
package contract
