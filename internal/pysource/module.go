// Package pysource reads the shape of a Python program from its source:
// imports, classes, attributes, methods, decorators, parameters, annotations,
// and the calls that a method makes. It needs no Python and runs nothing, so it
// does not know what a program does at run time. It also reads the source of
// Python 2.
package pysource

import "fmt"

// Module is one source file. What stands in an if, a try or a with counts as
// if it stood outside.
type Module struct {
	File    string
	Imports map[string]string // local name to what it means: "remote" to "nameko.rpc.rpc"
	Stars   []string          // modules of which everything is imported
	Assigns []Assign
	Classes []*Class
}

// Assign is NAME = value or NAME: annotation = value.
type Assign struct {
	Name       string
	Annotation Expr // nil when there is none
	Value      Expr // nil in a bare NAME: annotation
	Line       int
}

// Class is a class that stands outside of functions and other classes.
type Class struct {
	Name       string
	Doc        string // without indentation; "" when there is none
	Line       int
	Decorators []Expr
	Bases      []Arg
	Assigns    []Assign
	Methods    []*Function // in the order of the source; a name may come twice, the last one counts
}

// Function is a def or an async def.
type Function struct {
	Name       string
	Doc        string // without indentation; "" when there is none
	Line       int
	Decorators []Expr
	Params     []Param // self included
	Returns    Expr    // annotation, nil when there is none
	Calls      []BodyCall
}

// Param is a parameter of a function.
type Param struct {
	Name       string // "" for a tuple, which Python 2 takes apart
	Kind       ParamKind
	Annotation Expr // nil when there is none
	Default    Expr // nil when there is none
}

// ParamKind says how a parameter gets its value.
type ParamKind int

const (
	Plain          ParamKind = iota // by position or by name
	PositionalOnly                  // it stands before a /
	KeywordOnly                     // it stands after a * or *args
	VarPositional                   // *args
	VarKeyword                      // **kwargs
)

// BodyCall is a call in the body of a function, of something that has a name.
type BodyCall struct {
	Callee string // with its dots: "self.dispatch"
	First  *Arg   // first argument if it is a string or a name, else nil
	Line   int
}

// Error says where the source is not Python.
type Error struct {
	File    string
	Line    int // from 1
	Message string
}

// Error returns the file, the line and the message.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message) }
